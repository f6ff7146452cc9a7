#include "cli/identity.h"

#include <filesystem>
#include <map>

#include <fmt/chrono.h>
#include <sys/stat.h>

#include "base/process.h"
#include "base/readable.h"
#include "cli/program.h"
#include "image/source.h"
#include "io/sha256.h"

namespace qsweep::cli {
namespace {

// Flags that change nothing in what is measured, or whose files are compared instead of their paths.
constexpr const char* kLeftOut[] = {"model",  "measure", "run",        "data",    "calib",
                                    "recipe", "scores",  "out",        "resume",  "trace",
                                    "quiet",  "json",    "fail-above", "dry-run", "allow-outside"};
// What a model is read from beside its weights.
constexpr const char* kModelFiles[] = {"config.json",           "tokenizer.json",
                                       "tokenizer_config.json", "chat_template.jinja",
                                       "chat_template.json",    "preprocessor_config.json",
                                       "processor_config.json", "model.safetensors.index.json"};

// Of files that are too large to be read for this alone.
std::string size_and_time(const std::string& path) {
  struct stat file {};
  if (stat(path.c_str(), &file) != 0) fail("{}: cannot be looked at: {}", path, std::strerror(errno));
  return fmt::format("{} bytes of {:%F %T}.{:09} UTC", file.st_size, fmt::gmtime(file.st_mtim.tv_sec),
                     file.st_mtim.tv_nsec);
}

io::Json machine() {
  io::Json machine = {{"processor", processor_name()}};
  machine["isa"] = kernels::isa_name();
  machine["oneDNN"] = kernels::onednn_version();
  return machine;
}

io::Json model_files(const Engine& engine, const std::string& folder) {
  io::Json files = io::Json::object();
  for (const char* name : kModelFiles) {
    const std::string path = folder + "/" + name;
    files[name] = std::filesystem::exists(path) ? io::sha256_hex_of_file(path) : "none";
  }
  files["headers of the weights"] = engine.model.checkpoint.headers_sha256();
  for (const std::string& path : engine.model.checkpoint.paths())
    files[std::filesystem::path(path).filename().string()] = size_and_time(path);
  return files;
}

// The name of an image: its path from the folder of its data file, so that both may be moved.
std::string image_name(const std::string& image, const std::filesystem::path& folder) {
  const std::string relative = std::filesystem::path(image).lexically_relative(folder).string();
  return valid_utf8(relative.empty() ? image : relative);  // empty: one is absolute, the other is not
}

// Images that the data holds itself are in the digest of its file.
io::Json data_files(const std::string& data, const std::vector<models::Sample>& samples,
                    const std::vector<std::string>& allow_outside) {
  if (data.empty()) return "none";
  const std::filesystem::path folder = std::filesystem::path(data).parent_path();
  std::map<std::string, std::string> images;
  for (const models::Sample& sample : samples)
    for (const text::ImageSource& image : sample.images) {
      const std::string path =
          image::path_of(image.location, {.data = image.folder, .others = allow_outside});
      if (path.empty()) continue;
      std::string& sha256 = images[image_name(path, folder)];
      if (sha256.empty()) sha256 = io::sha256_hex_of_file(path);
    }
  return {{"file", io::sha256_hex_of_file(data)}, {"images", io::Json(images)}};
}

io::Json recipe_files(const std::vector<std::string>& paths) {
  io::Json files = io::Json::object();
  for (size_t i = 0; i < paths.size(); ++i)
    files[fmt::format("recipe {}", i + 1)] = io::sha256_hex_of_file(paths[i]);
  return files;
}

}  // namespace

io::Json identity(const Engine& engine, const EngineFlags& flags, io::Json settings,
                  const std::vector<std::string>& recipes) {
  for (const char* key : kLeftOut) settings.erase(key);
  return {{"program", {{"version", QSWEEP_VERSION}, {"file", size_and_time(program_path())}}},
          {"machine", machine()},
          {"model", model_files(engine, flags.model)},
          {"data", data_files(flags.data, engine.data, flags.allow_outside)},
          {"calib", data_files(flags.calib, engine.calibration, flags.allow_outside)},
          {"recipes", recipe_files(recipes)},
          {"flags", std::move(settings)}};
}

bool is_finished(const io::Journal& journal, const io::Json& identity, const std::string& results) {
  journal.check_identity(identity);
  if (!journal.finished()) return false;
  if (!std::filesystem::exists(results))
    fail("{}: missing, though its run is finished; leave out --resume to run it again", results);
  return true;
}

io::Journal reopen_journal(const std::string& path, EngineFlags& flags) {
  io::Journal journal = io::Journal::reopen(path);
  if (flags.memory.empty())
    flags.memory = io::ObjectReader(journal.identity(), path).object("flags").string("memory");
  return journal;
}

}  // namespace qsweep::cli
