#include "program.h"

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <optional>
#include <thread>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/testdata.h"

namespace qsweep::cli {
namespace {

constexpr rlim_t kMaxProcessorSeconds = 600;
constexpr int kCannotStart = 127;

[[noreturn]] void become(std::string program, const Arguments& arguments, const std::string& out,
                         const std::string& err) {
  std::vector<char*> argv;
  argv.push_back(program.data());
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  const rlimit limit{kMaxProcessorSeconds, kMaxProcessorSeconds};
  setrlimit(RLIMIT_CPU, &limit);
  for (const auto& [path, descriptor] : {std::pair{&out, STDOUT_FILENO}, std::pair{&err, STDERR_FILENO}})
    dup2(open(path->c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600), descriptor);
  execv(program.c_str(), argv.data());
  _exit(kCannotStart);
}

std::string program() { return testing::from_environment("QSWEEP_PROGRAM", QSWEEP_PROGRAM); }

// body(child) before waiting for its end.
template <class Body>
Outcome run(const std::string& program, const Arguments& arguments, Body&& body) {
  const Workplace place;
  const std::string out = place.at("stdout"), err = place.at("stderr");
  const pid_t child = fork();
  if (child == 0) become(program, arguments, out, err);
  body(child);
  int status = 0;
  rusage usage{};
  EXPECT_EQ(wait4(child, &status, 0, &usage), child);
  const int code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  EXPECT_NE(code, kCannotStart) << program;
  return {code, read_text(out), read_text(err), int64_t{usage.ru_maxrss} * 1024};
}

}  // namespace

Outcome run_qsweep(const Arguments& arguments) {
  return run(program(), arguments, [](pid_t) {});
}
Outcome run_qsweep_synth(const Arguments& arguments) {
  return run(testing::from_environment("QSWEEP_SYNTH_PROGRAM", QSWEEP_SYNTH_PROGRAM), arguments,
             [](pid_t) {});
}

Outcome run_and_kill(const Arguments& arguments, std::chrono::duration<double> after) {
  return run(program(), arguments, [&](pid_t child) {
    std::this_thread::sleep_for(after);
    kill(child, SIGKILL);
  });
}

double number_after(const std::string& text, const std::string& words) {
  const size_t at = text.find(words);
  EXPECT_NE(at, std::string::npos) << words << " is not in " << text;
  return at == std::string::npos ? 0 : std::strtod(text.c_str() + at + words.size(), nullptr);
}

std::string testdata(const std::string& path) { return testing::testdata_folder() + "/" + path; }

std::string read_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file.is_open()) << path;
  return {std::istreambuf_iterator<char>(file), {}};
}

std::map<std::string, std::string> files_in(const std::string& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    files[entry.path().filename().string()] = entry.is_regular_file() ? read_text(entry.path().string()) : "";
  return files;
}

Workplace::Workplace() {
  std::string pattern = ::testing::TempDir() + "qsweep-cli-XXXXXX";
  path_ = mkdtemp(pattern.data());
}

std::string Workplace::write(const std::string& name, const std::string& content) const {
  const std::filesystem::path path = at(name);
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << content;
  return path.string();
}

std::string Workplace::copy_model(const std::string& name) const {
  std::filesystem::copy(testdata("tiny-qwen2.5-vl"), at(name));
  for (const auto& entry : std::filesystem::directory_iterator(at(name)))
    std::filesystem::permissions(entry, std::filesystem::perms::owner_write,
                                 std::filesystem::perm_options::add);
  return at(name);
}

void edit_json(const std::string& path, const std::function<void(io::Json&)>& edit) {
  io::Json json = io::read_json_file(path);
  edit(json);
  std::ofstream(path, std::ios::binary) << json.dump();
}

RawSafetensors RawSafetensors::read(const std::string& path) {
  const std::string file = read_text(path);
  uint64_t length = 0;
  std::memcpy(&length, file.data(), sizeof length);
  return {file.substr(sizeof length, length), file.substr(sizeof length + length)};
}

void RawSafetensors::write(const std::string& path, std::optional<uint64_t> length) const {
  const uint64_t claimed = length.value_or(header.size());
  std::string file(sizeof claimed, '\0');
  std::memcpy(file.data(), &claimed, sizeof claimed);
  std::ofstream(path, std::ios::binary) << file << header << data;
}

void edit_header(const std::string& path, const std::function<void(io::Json&)>& edit) {
  RawSafetensors file = RawSafetensors::read(path);
  io::Json header = io::parse_json(file.header, path);
  edit(header);
  file.header = header.dump();
  file.header.resize((file.header.size() + 7) / 8 * 8, ' ');
  file.write(path);
}

}  // namespace qsweep::cli
