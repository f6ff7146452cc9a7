// Running the real program as a user does, and the folders it works in.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "io/json.h"
#include "support/temporary_folder.h"

namespace qsweep::cli {

struct Outcome {
  int code = 0;  // 128 + signal where one ended the program
  std::string out, err;
  int64_t peak_bytes = 0;  // of resident memory
};

using Arguments = std::vector<std::string>;

// What a run meets; by default what the test itself does.
struct Surroundings {
  std::map<std::string, std::string> environment = {};  // beside that of the test
  // Where standard output goes, such as /dev/full, "closed" or a pipe of which "nobody reads". Then
  // Outcome::out is empty.
  std::string out = {};
  int64_t address_space_bytes = 0;  // as by ulimit -v; 0: no limit
  std::string folder = {};          // in which it is started
};

// Runs a program and waits for its end; a run that takes minutes of processor time is killed.
Outcome run_qsweep(const Arguments& arguments, const Surroundings& surroundings = {});
// The same, but kills it after that time, unless it has ended by itself.
Outcome run_and_kill(const Arguments& arguments, std::chrono::duration<double> after);
// The same, but sends it signals, one after the other, as soon as that file is more than empty.
Outcome run_and_signal(const Arguments& arguments, const std::vector<int>& signals, const std::string& file);
// The same, but does something then, or where the run has ended by itself.
Outcome run_and_meet(const Arguments& arguments, const std::string& file, const std::function<void()>& then);
Outcome run_qsweep_synth(const Arguments& arguments);

// The number that follows these words in a text; a failure of the test where they are not there.
double number_after(const std::string& text, const std::string& words);

std::string testdata(const std::string& path);
using testing::read_text;
// The names and contents of all files in a folder.
std::map<std::string, std::string> files_in(const std::string& folder);

class Workplace : public testing::TemporaryFolder {
 public:
  // A copy of testdata/tiny-qwen2.5-vl that may be changed; returns its path.
  std::string copy_model(const std::string& name) const;
};

// Replaces a JSON file by what `edit` makes of it.
void edit_json(const std::string& path, const std::function<void(io::Json&)>& edit);

// A safetensors file in its two parts, so that either may be damaged.
struct RawSafetensors {
  std::string header;  // JSON text
  std::string data;

  static RawSafetensors read(const std::string& path);
  // `length` is what the file claims to be the header's length; empty: the truth.
  void write(const std::string& path, std::optional<uint64_t> length = std::nullopt) const;
};
// Replaces a safetensors file by one whose header is what `edit` makes of it.
void edit_header(const std::string& path, const std::function<void(io::Json&)>& edit);

}  // namespace qsweep::cli
