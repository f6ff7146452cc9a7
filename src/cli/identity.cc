#include "cli/identity.h"

#include <filesystem>

#include <fmt/chrono.h>
#include <sys/stat.h>

#include "base/process.h"
#include "image/source.h"
#include "io/sha256.h"

namespace qsweep::cli {
namespace {

// Flags that change nothing in the results, or whose files are compared instead of their paths.
constexpr const char* kLeftOut[] = {"model",  "data",  "calib",   "out",
                                    "resume", "trace", "dry-run", "allow-outside"};

// Of files that are too large to be read for this alone.
std::string size_and_time(const std::string& path) {
  struct stat file {};
  if (stat(path.c_str(), &file) != 0) fail("{}: cannot be looked at: {}", path, std::strerror(errno));
  return fmt::format("{} bytes of {:%F %T}.{:09} UTC", file.st_size, fmt::gmtime(file.st_mtim.tv_sec),
                     file.st_mtim.tv_nsec);
}

// Images that the data holds itself are in its own digest.
void add_images(io::Json& identity, const std::vector<models::Sample>& samples, const std::string& data,
                const std::vector<std::string>& allow_outside) {
  const std::filesystem::path folder = std::filesystem::path(data).parent_path();
  for (const models::Sample& sample : samples)
    for (const text::ImageSource& image : sample.images) {
      const std::string path =
          image::path_of(image.location, {.data = image.folder, .others = allow_outside});
      if (path.empty()) continue;
      const std::string key = std::filesystem::path(path).lexically_relative(folder).string();
      if (!identity.contains(key)) identity[key] = io::sha256_hex_of_file(path);
    }
}

}  // namespace

io::Json identity(const Engine& engine, const EngineFlags& flags, io::Json settings) {
  io::Json all = std::move(settings);
  for (const char* key : kLeftOut) all.erase(key);
  all["version"] = QSWEEP_VERSION;
  all["program"] = size_and_time("/proc/self/exe");
  all["processor"] = processor_name();
  all["isa"] = kernels::isa_name();
  all["oneDNN"] = kernels::onednn_version();
  for (const char* name : {"config.json", "tokenizer.json", "preprocessor_config.json"}) {
    const std::string path = flags.model + "/" + name;
    all[name] = std::filesystem::exists(path) ? io::sha256_hex_of_file(path) : "none";
  }
  all["headers of the weights"] = engine.model.checkpoint.headers_sha256();
  for (const std::string& path : engine.model.checkpoint.paths())
    all[std::filesystem::path(path).filename().string()] = size_and_time(path);
  all["data"] = io::sha256_hex_of_file(flags.data);
  all["calib"] = flags.calib.empty() ? "none" : io::sha256_hex_of_file(flags.calib);
  add_images(all, engine.data, flags.data, flags.allow_outside);
  add_images(all, engine.calibration, flags.calib, flags.allow_outside);
  return all;
}

bool is_finished(const io::Journal& journal, const io::Json& identity, const std::string& results) {
  journal.check_identity(identity);
  if (!journal.finished()) return false;
  if (!std::filesystem::exists(results))
    fail("{}: missing, though its run is finished; leave out --resume to run it again", results);
  fmt::print("{}: the run is finished, nothing is left to do\n", results);
  return true;
}

io::Journal reopen_journal(const std::string& path, EngineFlags& flags) {
  io::Journal journal = io::Journal::reopen(path);
  if (flags.memory.empty()) flags.memory = io::ObjectReader(journal.identity(), path).string("memory");
  return journal;
}

}  // namespace qsweep::cli
