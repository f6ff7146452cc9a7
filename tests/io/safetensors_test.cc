#include "io/safetensors.h"

#include <cmath>

#include "io/safetensors_writer.h"
#include "test_files.h"

namespace qsweep::io {
namespace {

const std::string kGood =
    R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"I8","shape":[3,1],"data_offsets":[8,11]}})";
const std::string kGoodData(11, '\x01');

SafetensorsHeader parse(const std::string& file) {
  return parse_safetensors_header(as_bytes(file), "x.safetensors");
}

// One tensor "t" with these members, over `data_bytes` bytes of data.
std::string one_tensor(const std::string& dtype, const std::string& shape, const std::string& offsets,
                       size_t data_bytes) {
  return safetensors(
      R"({"t":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}}",
      std::string(data_bytes, '\0'));
}

TEST(SafetensorsHeader, GivesEntriesByPlace) {
  const SafetensorsHeader header = parse(safetensors(kGood, kGoodData));
  ASSERT_EQ(header.entries.size(), 2u);
  EXPECT_EQ(header.entries[0].name, "a");
  EXPECT_EQ(header.entries[1].name, "b");
  EXPECT_EQ(header.entries[1].dtype, DType::i8);
  EXPECT_EQ(header.entries[1].shape, (Shape{3, 1}));
  EXPECT_EQ(header.entries[1].begin, 8);
  EXPECT_EQ(header.entries[1].end, 11);
  EXPECT_EQ(header.data_begin, static_cast<int64_t>(8 + kGood.size()));

  const SafetensorsHeader swapped = parse(safetensors(
      R"({"a":{"dtype":"I8","shape":[1],"data_offsets":[2,3]},"b":{"dtype":"F16","shape":[1],"data_offsets":[0,2]}})",
      "123"));
  EXPECT_EQ(swapped.entries[0].name, "b");
}

TEST(SafetensorsHeader, AcceptsScalarsEmptyTensorsMetadataAndPadding) {
  EXPECT_EQ(parse(one_tensor("F32", "[]", "[0,4]", 4)).entries[0].shape, Shape{});
  EXPECT_EQ(parse(one_tensor("F32", "[3,0]", "[0,0]", 0)).entries[0].end, 0);
  EXPECT_TRUE(parse(safetensors("{}", "")).entries.empty());
  EXPECT_EQ(parse(safetensors(R"({"__metadata__":{"format":"pt"}}   )", "")).metadata.at("format"), "pt");
}

TEST(SafetensorsHeader, EveryTruncationIsAnError) {
  const std::string file = safetensors(kGood, kGoodData);
  for (size_t size = 0; size < file.size(); ++size) EXPECT_THROW(parse(file.substr(0, size)), Error) << size;
  EXPECT_THAT([&] { parse(file.substr(0, 7)); }, fails_with("8 bytes of header length, found 7 bytes"));
  EXPECT_THAT([&] { parse(file.substr(0, 20)); },
              fails_with("found 12 bytes after the length: is the file truncated?"));
  EXPECT_THAT([&] { parse(file.substr(0, file.size() - 1)); },
              fails_with("tensor \"b\": expected data_offsets within the 10 bytes of data, found [8, 11]"));
}

TEST(SafetensorsHeader, LengthIsCappedBeforeUse) {
  EXPECT_THAT([] { parse(safetensors("{}", "", 100'000'001)); },
              fails_with("x.safetensors: expected a safetensors header of at most 100000000 bytes, found a "
                         "length of 100000001"));
  EXPECT_THAT([] { parse(safetensors("{}", "", UINT64_MAX)); }, fails_with("at most 100000000 bytes"));
  EXPECT_THAT([] { parse(safetensors("{}", "", 3)); }, fails_with("header of 3 bytes, found 2 bytes"));
}

TEST(SafetensorsHeader, MustBeAnObjectOfTensors) {
  EXPECT_THAT([] { parse(safetensors("[]", "")); }, fails_with("starts with '{'"));
  EXPECT_THAT([] { parse(safetensors("", "")); }, fails_with("starts with '{'"));
  EXPECT_THAT([] { parse(safetensors(" {}", "")); }, fails_with("starts with '{'"));
  EXPECT_THAT([] { parse(safetensors("{} x", "")); }, fails_with("not valid JSON"));
  EXPECT_THAT([] { parse(safetensors(R"({"a":1})", "")); },
              fails_with("tensor \"a\": header: expected a JSON object"));
  EXPECT_THAT([] { parse(safetensors(R"({"a":{}})", "")); }, fails_with("missing key \"data_offsets\""));
  EXPECT_THAT([] { parse(safetensors(R"({"__metadata__":{"a":1}})", "")); },
              fails_with("__metadata__: \"a\": expected a string, found number"));
  EXPECT_THAT([] { parse(safetensors(R"({"__metadata__":"a"})", "")); },
              fails_with("expected a JSON object, found string"));
}

TEST(SafetensorsHeader, NamesAreUniqueUtf8) {
  const std::string tensor = R"({"dtype":"I8","shape":[0],"data_offsets":[0,0]})";
  EXPECT_THAT([&] { parse(safetensors("{\"a\":" + tensor + ",\"a\":" + tensor + "}", "")); },
              fails_with("duplicate key \"a\""));
  EXPECT_THAT([&] { parse(safetensors("{\"\xff\":" + tensor + "}", "")); }, fails_with("ill-formed UTF-8"));
  EXPECT_THAT([&] { parse(safetensors("{\"\xc3\":" + tensor + "}", "")); }, fails_with("ill-formed UTF-8"));
  EXPECT_EQ(parse(safetensors("{\"\xc3\xa9\":" + tensor + "}", "")).entries[0].name, "\xc3\xa9");
}

TEST(SafetensorsHeader, DtypeMustBeKnown) {
  EXPECT_THAT([] { parse(one_tensor("F33", "[1]", "[0,4]", 4)); },
              fails_with("x.safetensors: tensor \"t\": dtype \"F33\" is not supported"));
  EXPECT_THAT([] { parse(one_tensor("f32", "[1]", "[0,4]", 4)); },
              fails_with("dtype \"f32\" is not supported"));
}

TEST(SafetensorsHeader, ShapeMustBeSaneAndFillItsBytes) {
  EXPECT_THAT([] { parse(one_tensor("F32", "[-1]", "[0,4]", 4)); },
              fails_with("shape [-1] has a negative extent"));
  EXPECT_THAT([] { parse(one_tensor("F32", "[4294967296,4294967296]", "[0,4]", 4)); },
              fails_with("too large"));
  EXPECT_THAT([] { parse(one_tensor("F32", "[4611686018427387904]", "[0,4]", 4)); }, fails_with("too large"));
  EXPECT_THAT([] { parse(one_tensor("F32", "[18446744073709551615]", "[0,4]", 4)); },
              fails_with("\"shape\": expected"));
  EXPECT_THAT([] { parse(one_tensor("F32", "[1.0]", "[0,4]", 4)); }, fails_with("\"shape\": expected"));
  EXPECT_THAT([] { parse(one_tensor("F32", "4", "[0,4]", 4)); }, fails_with("\"shape\": expected"));
  EXPECT_THAT([] { parse(one_tensor("F32", "[2]", "[0,4]", 4)); },
              fails_with("expected 64 bits for F32 [2], found 4 bytes"));
  EXPECT_THAT([] { parse(one_tensor("BF16", "[1]", "[0,4]", 4)); },
              fails_with("expected 16 bits for BF16 [1], found 4 bytes"));
}

TEST(SafetensorsHeader, OffsetsStayInTheData) {
  EXPECT_THAT([] { parse(one_tensor("I8", "[2]", "[2,0]", 2)); }, fails_with("found [2, 0]"));
  EXPECT_THAT([] { parse(one_tensor("I8", "[2]", "[-2,0]", 2)); }, fails_with("found [-2, 0]"));
  EXPECT_THAT([] { parse(one_tensor("I8", "[2]", "[0,2]", 1)); },
              fails_with("within the 1 bytes of data, found [0, 2]"));
  EXPECT_THAT([] { parse(one_tensor("I8", "[2]", "[-9223372036854775808,9223372036854775807]", 2)); },
              fails_with("within"));
  EXPECT_THAT([] { parse(one_tensor("I8", "[2]", "[0,1,2]", 2)); },
              fails_with("expected two data_offsets, found 3"));
}

TEST(SafetensorsHeader, DataIsCoveredExactly) {
  const auto two = [](const std::string& a, const std::string& b, size_t bytes) {
    parse(safetensors(R"({"a":{"dtype":"I8","shape":[2],"data_offsets":)" + a +
                          R"(},"b":{"dtype":"I8","shape":[2],"data_offsets":)" + b + "}}",
                      std::string(bytes, '\0')));
  };
  EXPECT_NO_THROW(two("[0,2]", "[2,4]", 4));
  EXPECT_THAT([&] { two("[0,2]", "[1,3]", 3); },
              fails_with("tensor \"b\" begins at byte 1, inside the tensor before it, which ends at 2"));
  EXPECT_THAT([&] { two("[0,2]", "[0,2]", 2); }, fails_with("begins at byte 0, inside"));
  EXPECT_THAT([&] { two("[0,2]", "[3,5]", 5); },
              fails_with("bytes 2 to 3 of the data belong to no tensor (before \"b\")"));
  EXPECT_THAT([&] { two("[1,3]", "[3,5]", 5); }, fails_with("bytes 0 to 1 of the data"));
  EXPECT_THAT([&] { two("[0,2]", "[2,4]", 7); }, fails_with("bytes 4 to 7 of the data belong to no tensor"));
  EXPECT_THAT([&] { parse(safetensors("{}", "x")); }, fails_with("bytes 0 to 1 of the data"));
}

TEST(SafetensorsFile, RealFileHasKnownShapesAndValues) {
  const auto file = SafetensorsFile::open(testdata("families/qwen2_5_vl/model-00001-of-00002.safetensors"));
  EXPECT_EQ(file.entries().size(), 43u);
  EXPECT_EQ(file.metadata().at("format"), "pt");
  EXPECT_EQ(file.header_bytes().size(), 8u + 4104u);
  EXPECT_EQ(file.find("nothing"), nullptr);
  const TensorEntry* entry = file.find("model.embed_tokens.weight");
  ASSERT_NE(entry, nullptr);
  EXPECT_EQ(entry->shape, (Shape{336, 64}));
  const TensorView view = file.view(*entry);
  EXPECT_EQ(view.as<bf16>()[0].bits, 0x3c8b);  // bytes 8b 3c
  EXPECT_EQ(view.as<bf16>()[3].bits, 0xbc33);
}

TEST(SafetensorsFile, EveryFixtureOpens) {
  int files = 0;
  for (const auto& item : std::filesystem::recursive_directory_iterator(QSWEEP_TESTDATA)) {
    if (item.path().extension() != ".safetensors") continue;
    const auto file = SafetensorsFile::open(item.path());
    EXPECT_FALSE(file.entries().empty()) << item.path();
    for (const TensorEntry& entry : file.entries()) EXPECT_NO_THROW(file.view(entry));
    ++files;
  }
  EXPECT_GE(files, 7);
}

TEST(SafetensorsFile, UnalignedTensorIsAnErrorWhenViewed) {
  const TemporaryFolder folder;
  const std::string header = R"({"t":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})";
  const auto file = SafetensorsFile::open(
      folder.write("odd", safetensors(header + std::string(8 - header.size() % 8 + 1, ' '), "1234")));
  EXPECT_THAT([&] { file.view(file.entries()[0]); },
              fails_with("tensor \"t\" is not aligned: expected a multiple of 4 for F32"));
}

TEST(SafetensorsFile, ErrorsNameTheFile) {
  const TemporaryFolder folder;
  EXPECT_THAT([&] { SafetensorsFile::open(folder.path() + "/none"); },
              fails_with("/none: cannot open the file: No such file"));
  EXPECT_THAT([&] { SafetensorsFile::open(folder.write("short", "abc")); },
              fails_with("/short: expected a safetensors file"));
}

TEST(SafetensorsWriter, RoundTripsEveryDtype) {
  const TemporaryFolder folder;
  const std::vector<std::byte> data(64, std::byte{0x5a});
  std::vector<NamedTensor> tensors;
  for (const char* dtype :
       {"BOOL", "U8", "I8", "I16", "I32", "I64", "F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2"})
    for (const Shape& shape : {Shape{}, Shape{3}, Shape{1, 0, 2}, Shape{2, 3}})
      tensors.push_back({dtype + to_string(shape), {*dtype_from_safetensors(dtype), shape, data.data()}});
  const std::string path = folder.path() + "/all.safetensors";
  write_safetensors(path, tensors, {{"note", "quote \" and \xc3\xa9"}});

  const auto file = SafetensorsFile::open(path);
  EXPECT_EQ(file.metadata().at("note"), "quote \" and \xc3\xa9");
  EXPECT_EQ(file.header_bytes().size() % 8, 0u);
  ASSERT_EQ(file.entries().size(), tensors.size());
  for (const NamedTensor& expected : tensors) {
    const TensorEntry* entry = file.find(expected.name);
    ASSERT_NE(entry, nullptr) << expected.name;
    const TensorView view = file.view(*entry);
    EXPECT_EQ(view.dtype, expected.tensor.dtype);
    EXPECT_EQ(view.shape, expected.tensor.shape);
    EXPECT_EQ(std::memcmp(view.data, expected.tensor.data, static_cast<size_t>(view.size_bytes())), 0);
  }
}

TEST(SafetensorsWriter, KeepsEachTensorsValues) {
  const TemporaryFolder folder;
  const std::vector<float> floats{1.5f, -2, 3};
  const std::vector<uint8_t> bytes{7, 8, 9};
  const std::vector<int64_t> longs{-1, int64_t{1} << 40};
  const auto view = [](const auto& v) {
    using T = typename std::decay_t<decltype(v)>::value_type;
    return TensorView{
        DTypeOf<T>::value, {static_cast<int64_t>(v.size())}, reinterpret_cast<const std::byte*>(v.data())};
  };
  const std::string path = folder.path() + "/mixed.safetensors";
  write_safetensors(path,
                    std::vector<NamedTensor>{{"a", view(bytes)}, {"b", view(floats)}, {"c", view(longs)}});
  const auto file = SafetensorsFile::open(path);
  EXPECT_EQ(file.entries()[0].name, "c");
  EXPECT_THAT(file.view(*file.find("a")).as<uint8_t>(), ::testing::ElementsAreArray(bytes));
  EXPECT_THAT(file.view(*file.find("b")).as<float>(), ::testing::ElementsAreArray(floats));
  EXPECT_THAT(file.view(*file.find("c")).as<int64_t>(), ::testing::ElementsAreArray(longs));
}

TEST(SafetensorsWriter, RefusesBadNames) {
  const TemporaryFolder folder;
  const std::string path = folder.path() + "/t";
  const TensorView empty{DType::i8, {0}, nullptr};
  EXPECT_THROW(write_safetensors(path, std::vector<NamedTensor>{{"a", empty}, {"a", empty}}), ContractError);
  EXPECT_THROW(write_safetensors(path, std::vector<NamedTensor>{{"__metadata__", empty}}), ContractError);
  EXPECT_THAT(
      [&] {
        write_safetensors(path, std::vector<NamedTensor>{{"\xff", empty}});
      },
      fails_with("not valid UTF-8"));
  EXPECT_EQ(folder.entries(), 0);
}

}  // namespace
}  // namespace qsweep::io
