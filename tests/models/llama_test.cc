// What only llama's configurations have.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "io/atomic_file.h"
#include "io/json.h"
#include "models/model.h"
#include "support/changed_model.h"
#include "support/testdata.h"

namespace qsweep::models {
namespace {

// The message that the family's test model with these keys is refused with; empty where it loads.
std::string refusal(const io::Json& keys) {
  const std::string folder = testing::testdata_folder() + "/families/llama";
  const testing::ChangedModel changed(folder, [&](const std::string& copy) {
    io::Json config = io::read_json_file(copy + "/config.json");
    config.update(keys);
    io::write_file_atomically(copy + "/config.json", config.dump());
  });
  try {
    load(changed.path());
    return "";
  } catch (const Error& error) {
    return error.what();
  }
}

TEST(Llama, HasTheKeysOfSmolLM) {
  EXPECT_EQ(refusal({{"is_llama_config", true}, {"rope_interleaved", false}}), "");
  EXPECT_THAT(refusal({{"rope_interleaved", true}}),
              ::testing::HasSubstr("\"rope_interleaved\": true is not supported; supported: false"));
}

}  // namespace
}  // namespace qsweep::models
