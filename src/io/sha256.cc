#include "io/sha256.h"

#include <algorithm>
#include <array>

#include "io/mapped_file.h"

namespace qsweep::io {

void Sha256::update(std::span<const std::byte> bytes) {
  SHA256Update(&context_, reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
}

std::string Sha256::hex() const {
  SHA2_CTX copy = context_;  // finishing pads the state
  std::array<char, SHA256_DIGEST_STRING_LENGTH> digits{};
  return SHA256End(&copy, digits.data());
}

std::string sha256_hex(std::span<const std::byte> bytes) {
  Sha256 digest;
  digest.update(bytes);
  return digest.hex();
}

std::string sha256_hex_of_file(const std::string& path) {
  constexpr size_t kPieceBytes = size_t{16} << 20;
  const MappedFile file = MappedFile::open(path);
  Sha256 digest;
  for (auto rest = file.bytes(); !rest.empty();) {
    const auto piece = rest.first(std::min(rest.size(), kPieceBytes));
    digest.update(piece);
    file.release(piece);
    rest = rest.subspan(piece.size());
  }
  return digest.hex();
}

}  // namespace qsweep::io
