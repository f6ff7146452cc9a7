#include "io/checkpoint.h"

#include "io/safetensors_writer.h"
#include "test_files.h"

namespace qsweep::io {
namespace {

const TensorView kEmpty{DType::f32, {0}, nullptr};

// A folder with two shards, s1 (a, b) and s2 (c), and this weight_map.
void write_shards(const TemporaryFolder& folder, const std::string& weight_map) {
  write_safetensors(folder.path() + "/s1", std::vector<NamedTensor>{{"a", kEmpty}, {"b", kEmpty}});
  write_safetensors(folder.path() + "/s2", std::vector<NamedTensor>{{"c", kEmpty}});
  folder.write("model.safetensors.index.json", R"({"metadata":{},"weight_map":)" + weight_map + "}");
}

// Expects that a folder with this weight_map cannot be opened, for this reason.
void expect_refused(const std::string& weight_map, const std::string& reason) {
  const TemporaryFolder folder;
  write_shards(folder, weight_map);
  EXPECT_THAT([&] { Checkpoint::open(folder.path()); }, fails_with(reason));
}

TEST(Checkpoint, OpensASingleFile) {
  const auto checkpoint = Checkpoint::open(testdata("tiny-qwen2.5-vl"));
  EXPECT_EQ(checkpoint.names().size(), 152u);
  EXPECT_EQ(checkpoint.parameters(), 2166512);
  EXPECT_EQ(checkpoint.size_bytes(), 4333024);
  EXPECT_EQ(checkpoint.headers_sha256(), "2eab61a0dbee149cc04dd093d74c74bd6f4ffdbb7e7e09ce6a0ed3cb72fe7b33");
  EXPECT_EQ(checkpoint.get("model.embed_tokens.weight", {1088, 128}).as<bf16>()[0].bits, 0xbf06);
}

TEST(Checkpoint, OpensShards) {
  const auto checkpoint = Checkpoint::open(testdata("families/qwen2_5_vl"));
  EXPECT_EQ(checkpoint.names().size(), 43u + 26u);
  EXPECT_EQ(checkpoint.names().front(), "lm_head.weight");
  EXPECT_EQ(checkpoint.parameters(), 198776);
  EXPECT_EQ(checkpoint.size_bytes(), 397552);
  EXPECT_EQ(checkpoint.headers_sha256(), "cd459b367115d6cfdc359296f1a8c85b19911dceb44d2ee58c689284588dba45");
  EXPECT_EQ(checkpoint.get("model.embed_tokens.weight", {336, 64}).as<bf16>()[0].bits, 0x3c8b);
  EXPECT_EQ(checkpoint.get("lm_head.weight", {336, 64}).as<bf16>()[0].bits, 0x3d82);
  EXPECT_EQ(checkpoint.find("lm_head.bias"), nullptr);
}

TEST(Checkpoint, GetNamesWhatWasExpectedAndFound) {
  const auto checkpoint = Checkpoint::open(testdata("families/qwen2_5_vl"));
  EXPECT_THAT([&] { checkpoint.get("lm_head.bias", {336}); },
              fails_with("qwen2_5_vl: tensor \"lm_head.bias\" is missing; expected shape [336]"));
  EXPECT_THAT(
      [&] {
        checkpoint.get("lm_head.weight", {64, 336});
      },
      fails_with("tensor \"lm_head.weight\": expected shape [64, 336], found [336, 64]"));
}

TEST(Checkpoint, GetTakesFloatsOnly) {
  const TemporaryFolder folder;
  std::vector<NamedTensor> tensors;
  for (const DType dtype : {DType::f32, DType::f16, DType::bf16, DType::f64, DType::i8, DType::f8_e4m3})
    tensors.push_back({std::string(name(dtype)), {dtype, {0}, nullptr}});
  write_safetensors(folder.path() + "/model.safetensors", tensors);
  const auto checkpoint = Checkpoint::open(folder.path());
  for (const char* good : {"F32", "F16", "BF16"}) EXPECT_NO_THROW(checkpoint.get(good, {0}));
  for (const char* bad : {"F64", "I8", "F8_E4M3"})
    EXPECT_THAT(
        [&] { checkpoint.get(bad, {0}); },
        fails_with(fmt::format("tensor \"{}\": expected dtype BF16, F16 or F32, found {}", bad, bad)));
}

TEST(Checkpoint, ReleasedAndPrefetchedTensorsStayReadable) {
  const auto checkpoint = Checkpoint::open(testdata("tiny-qwen2.5-vl"));
  for (const std::string& name : checkpoint.names()) {
    const TensorView& tensor = *checkpoint.find(name);
    const std::string before(reinterpret_cast<const char*>(tensor.data),
                             static_cast<size_t>(tensor.size_bytes()));
    checkpoint.release(tensor);
    checkpoint.prefetch(tensor);
    checkpoint.populate(tensor);
    EXPECT_EQ(std::memcmp(before.data(), tensor.data, before.size()), 0) << name;
  }
  const float other = 0;
  const TensorView foreign{DType::f32, {1}, reinterpret_cast<const std::byte*>(&other)};
  EXPECT_THROW(checkpoint.release(foreign), ContractError);
}

TEST(Checkpoint, NeedsWeights) {
  const TemporaryFolder folder;
  EXPECT_THAT(
      [&] { Checkpoint::open(folder.path()); },
      fails_with(
          "expected a model folder with model.safetensors or model.safetensors.index.json, found neither"));
  EXPECT_THAT([&] { Checkpoint::open(folder.path() + "/none"); },
              fails_with("/none: expected a model folder"));
}

TEST(Checkpoint, IndexAndShardsAgree) {
  const TemporaryFolder folder;
  write_shards(folder, R"({"a":"s1","b":"s1","c":"s2"})");
  const auto checkpoint = Checkpoint::open(folder.path());
  EXPECT_THAT(checkpoint.names(), ::testing::ElementsAre("a", "b", "c"));
  EXPECT_THAT(checkpoint.warnings(), ::testing::IsEmpty());

  expect_refused(R"({"a":"s1","b":"s1","c":"s2","d":"s2"})",
                 "tensor \"d\": weight_map says s2, which does not hold it");
  expect_refused(R"({"a":"s1","b":"s1","c":"s3"})", "s3: cannot open the file");
}

// As transformers loads them: it reads whole shards.
TEST(Checkpoint, TheIndexMayForgetATensorOrNameAnotherShard) {
  const auto expect_warning = [](const std::string& weight_map, const std::string& warning) {
    const TemporaryFolder folder;
    write_shards(folder, weight_map);
    const auto checkpoint = Checkpoint::open(folder.path());
    EXPECT_THAT(checkpoint.names(), ::testing::ElementsAre("a", "b", "c"));
    EXPECT_THAT(checkpoint.warnings(), ::testing::ElementsAre(warning));
  };
  expect_warning(R"({"a":"s1","c":"s2"})", "tensor \"b\" is not in weight_map; that of s1 is used");
  expect_warning(R"({"a":"s1","b":"s2","c":"s2"})", "tensor \"b\": weight_map says s2; that of s1 is used");
}

// Two shards that both hold "a"; only s2 holds "b".
struct Repeated {
  Repeated(float in_s1, float in_s2, const std::string& weight_map) {
    const Tensor one = Tensor::from<float>(std::vector{in_s1}, {1}),
                 two = Tensor::from<float>(std::vector{in_s2}, {1});
    write_safetensors(folder.path() + "/s1", std::vector<NamedTensor>{{"a", one.view()}, {"z", kEmpty}});
    write_safetensors(folder.path() + "/s2", std::vector<NamedTensor>{{"a", two.view()}, {"b", kEmpty}});
    folder.write("model.safetensors.index.json", R"({"weight_map":)" + weight_map + "}");
  }
  const TemporaryFolder folder;
};

TEST(Checkpoint, OfRepeatedTensorsTheIndexChooses) {
  for (const auto& [shard, value] : {std::pair{"s1", 1.0f}, std::pair{"s2", 2.0f}}) {
    const Repeated files(1, 2, fmt::format(R"({{"a":"{}","b":"s2","z":"s1"}})", shard));
    const auto checkpoint = Checkpoint::open(files.folder.path());
    EXPECT_EQ(checkpoint.get("a", {1}).as<float>()[0], value);
    EXPECT_THAT(checkpoint.warnings(),
                ::testing::ElementsAre(
                    fmt::format("tensor \"a\" is in 2 shards, which differ; that of {} is used", shard)));
    EXPECT_EQ(checkpoint.parameters(), 1);
  }
  const Repeated same(3, 3, R"({"b":"s2","z":"s1"})");
  EXPECT_THAT(Checkpoint::open(same.folder.path()).warnings(),
              ::testing::ElementsAre("tensor \"a\" is in 2 shards; that of s1 is used"));
  const Repeated differ(1, 2, R"({"b":"s2","z":"s1"})");
  EXPECT_THAT([&] { Checkpoint::open(differ.folder.path()); },
              fails_with("tensor \"a\" is not in weight_map, and s1 and s2 hold different ones"));
}

TEST(Checkpoint, OneFileGoesBeforeAnIndex) {
  const TemporaryFolder folder;
  write_shards(folder, R"({"a":"s1","b":"s1","c":"s2"})");
  write_safetensors(folder.path() + "/model.safetensors", std::vector<NamedTensor>{{"one", kEmpty}});
  const auto checkpoint = Checkpoint::open(folder.path());
  EXPECT_THAT(checkpoint.names(), ::testing::ElementsAre("one"));
  EXPECT_THAT(
      checkpoint.warnings(),
      ::testing::ElementsAre(::testing::EndsWith("index.json: not read, as model.safetensors is there too")));
}

TEST(Checkpoint, WhatWasNotAskedForIsUnread) {
  const TemporaryFolder folder;
  write_shards(folder, R"({"a":"s1","b":"s1","c":"s2"})");
  const auto checkpoint = Checkpoint::open(folder.path());
  checkpoint.get("b", {0});
  EXPECT_NE(checkpoint.find("c"), nullptr);
  EXPECT_THAT(checkpoint.unread(), ::testing::ElementsAre("a", "c"));
}

TEST(Checkpoint, AChangedShardIsNoticed) {
  const TemporaryFolder folder;
  write_shards(folder, R"({"a":"s1","b":"s1","c":"s2"})");
  const auto checkpoint = Checkpoint::open(folder.path());
  EXPECT_NO_THROW(checkpoint.check_unchanged());
  std::ofstream(folder.path() + "/s2", std::ios::app) << "more";
  EXPECT_THAT([&] { checkpoint.check_unchanged(); },
              fails_with("/s2: the file has changed while it was in use"));
}

TEST(Checkpoint, IndexIsChecked) {
  expect_refused(R"({"a":"s1","b":"s1","c":"../s2"})", "\"c\": expected a plain file name, found \"../s2\"");
  expect_refused(R"({"a":".."})", "expected a plain file name");
  expect_refused(R"({"a":""})", "expected a plain file name");
  expect_refused(R"({"a":1})", "\"a\": expected a file name, found number");
  expect_refused("{}", "weight_map is empty");
  expect_refused("[]", "\"weight_map\": expected an object");
  expect_refused(R"({"a":"s1","a":"s2"})", "duplicate key \"a\"");
}

TEST(Checkpoint, WantedTensorsAreThoseAskedFor) {
  const auto checkpoint = Checkpoint::wanted("folder");
  EXPECT_EQ(checkpoint.find("a"), nullptr);
  const TensorView a = checkpoint.get("a", {2, 3});
  EXPECT_EQ(a.shape, (Shape{2, 3}));
  EXPECT_EQ(a.dtype, DType::bf16);
  EXPECT_EQ(checkpoint.get("a", {2, 3}).shape, a.shape);
  EXPECT_THAT([&] { checkpoint.get("a", {6}); },
              fails_with("folder: tensor \"a\": expected shape [6], found [2, 3]"));
  EXPECT_THAT(checkpoint.names(), ::testing::ElementsAre("a"));
  EXPECT_EQ(checkpoint.size_bytes(), 12);
}

}  // namespace
}  // namespace qsweep::io
