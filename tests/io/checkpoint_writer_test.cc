#include "io/checkpoint_writer.h"

#include <sys/stat.h>

#include "io/checkpoint.h"
#include "io/json.h"
#include "test_files.h"

namespace qsweep::io {
namespace {

// a: 4, b: 6, c: 20 bytes, of ones, twos and threes.
const std::vector<NamedTensor> kTensors{
    {"a", {DType::u8, {4}, nullptr}}, {"b", {DType::u8, {2, 3}, nullptr}}, {"c", {DType::u8, {20}, nullptr}}};

// In two pieces.
void source(const NamedTensor& item, const TakeBytes& sink) {
  const std::string bytes(static_cast<size_t>(item.tensor.size_bytes()),
                          static_cast<char>(item.name[0] - 'a' + 1));
  sink(as_bytes(bytes.substr(0, 3)));
  sink(as_bytes(bytes.substr(3)));
}

void expect_content(const std::string& folder) {
  const auto checkpoint = Checkpoint::open(folder);
  EXPECT_THAT(checkpoint.names(), ::testing::ElementsAre("a", "b", "c"));
  for (const NamedTensor& item : kTensors) {
    const TensorView* tensor = checkpoint.find(item.name);
    EXPECT_EQ(tensor->shape, item.tensor.shape);
    EXPECT_THAT(tensor->as<uint8_t>(), ::testing::Each(item.name[0] - 'a' + 1)) << item.name;
  }
}

TEST(CheckpointWriter, OneFileWhereAllFits) {
  const TemporaryFolder folder;
  write_checkpoint(folder.path(), kTensors, 30, source);
  EXPECT_EQ(folder.entries(), 1);
  expect_content(folder.path());
}

TEST(CheckpointWriter, ShardsAndTheirIndex) {
  const TemporaryFolder folder;
  write_checkpoint(folder.path(), kTensors, 10, source);  // c is larger than a shard
  EXPECT_EQ(folder.entries(), 3);
  expect_content(folder.path());
  const Json index = read_json_file(folder.path() + "/model.safetensors.index.json");
  EXPECT_EQ(index["metadata"]["total_size"], 30);
  EXPECT_EQ(index["weight_map"], (Json{{"a", "model-00001-of-00002.safetensors"},
                                       {"b", "model-00001-of-00002.safetensors"},
                                       {"c", "model-00002-of-00002.safetensors"}}));
  EXPECT_EQ(
      SafetensorsFile::open(folder.path() + "/model-00002-of-00002.safetensors").metadata().at("format"),
      "pt");
}

// The large tensor's zeros are on no disk.
TEST(CheckpointWriter, WithoutASourceAllIsZero) {
  const TemporaryFolder folder;
  constexpr int64_t kLarge = int64_t{1} << 30;
  write_checkpoint(
      folder.path(),
      std::vector<NamedTensor>{{"a", {DType::u8, {4}, nullptr}}, {"b", {DType::u8, {kLarge}, nullptr}}},
      2 * kLarge, {});
  const auto checkpoint = Checkpoint::open(folder.path());
  EXPECT_THAT(checkpoint.find("a")->as<uint8_t>(), ::testing::ElementsAre(0, 0, 0, 0));
  EXPECT_EQ(checkpoint.find("b")->as<uint8_t>().back(), 0);
  struct stat file {};
  ASSERT_EQ(stat((folder.path() + "/model.safetensors").c_str(), &file), 0);
  EXPECT_GT(file.st_size, kLarge);
  EXPECT_LT(file.st_blocks * 512, kLarge / 2);
}

TEST(CheckpointWriter, ASourceGivesAllBytes) {
  const TemporaryFolder folder;
  EXPECT_THROW(write_checkpoint(folder.path(), kTensors, 30,
                                [](const NamedTensor&, const TakeBytes& sink) { sink(as_bytes("xy")); }),
               ContractError);
  EXPECT_EQ(folder.entries(), 0);
}

}  // namespace
}  // namespace qsweep::io
