#include "io/sha256.h"

#include "test_files.h"

namespace qsweep::io {
namespace {

// FIPS 180-2, appendix B.
TEST(Sha256, KnownDigests) {
  EXPECT_EQ(sha256_hex({}), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256_hex(as_bytes("abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256_hex(as_bytes(std::string(1'000'000, 'a'))),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256, PiecesGiveTheSameDigestAndHexDoesNotEndIt) {
  Sha256 digest;
  digest.update(as_bytes("a"));
  EXPECT_EQ(digest.hex(), sha256_hex(as_bytes("a")));
  digest.update(as_bytes("bc"));
  EXPECT_EQ(digest.hex(), sha256_hex(as_bytes("abc")));
}

TEST(Sha256, OfAFile) {
  EXPECT_EQ(sha256_hex_of_file(testdata("tiny-qwen2.5-vl/model.safetensors")),
            "2db486684536ecd474e201449951d17a7d52727bf1d0442899df3b816958c32f");
  const TemporaryFolder folder;
  const std::string content((size_t{16} << 20) + 3, 'x');  // more than one piece
  EXPECT_EQ(sha256_hex_of_file(folder.write("f", content)), sha256_hex(as_bytes(content)));
  EXPECT_THAT([&] { sha256_hex_of_file(folder.path() + "/none"); }, fails_with("/none: cannot open"));
}

}  // namespace
}  // namespace qsweep::io
