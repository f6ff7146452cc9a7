#include "cli/outputs.h"

#include <filesystem>
#include <map>

#include <fmt/format.h>
#include <sys/stat.h>

#include "base/error.h"

namespace qsweep::cli {
namespace {

// The same for two names of one file: where it lies on the disk, or where it would.
std::string place_of(const std::string& path) {
  struct stat file {};
  if (stat(path.c_str(), &file) == 0) return fmt::format("{}:{}", file.st_dev, file.st_ino);
  std::error_code error;
  const std::filesystem::path canonical = std::filesystem::weakly_canonical(path, error);
  return error ? path : canonical.string();
}

}  // namespace

std::vector<NamedFile> files_of(const std::string& what, const std::string& folder) {
  std::vector<NamedFile> files;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(folder, ignored))
    if (entry.is_regular_file(ignored)) files.push_back({what, entry.path().string()});
  return files;
}

void check_outputs(const std::vector<NamedFile>& inputs, const std::vector<NamedFile>& outputs) {
  std::map<std::string, std::string> taken;
  for (const NamedFile& file : inputs) taken.emplace(place_of(file.path), file.what);
  for (const NamedFile& file : outputs) {
    const auto [other, is_free] = taken.emplace(place_of(file.path), "a file that " + file.what + " writes");
    if (!is_free)
      fail("{}: {}: expected a file that is free to be written, found {}", file.what, file.path,
           other->second);
  }
}

void check_out_folder(const std::string& out, const std::string& model) {
  std::error_code ignored;
  if (std::filesystem::equivalent(out, model, ignored))
    fail("--out: {}: expected a folder for the results, found that of the model", out);
}

}  // namespace qsweep::cli
