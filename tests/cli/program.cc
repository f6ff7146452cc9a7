#include "program.h"

#include <csignal>
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

std::string program() { return testing::from_environment("QSWEEP_PROGRAM", QSWEEP_PROGRAM); }

void send_stream(int stream, const std::string& path) {
  if (path == "closed") {
    close(stream);
    return;
  }
  if (int ends[2]; path == "nobody reads" && pipe(ends) == 0) {
    close(ends[0]);
    dup2(ends[1], stream);
    return;
  }
  dup2(open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600), stream);
}

[[noreturn]] void become(std::string path, const Arguments& arguments, const std::string& out,
                         const std::string& err, const Surroundings& surroundings) {
  std::vector<char*> argv;
  argv.push_back(path.data());
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  for (const auto& [name, value] : surroundings.environment) setenv(name.c_str(), value.c_str(), 1);
  const rlimit processor{kMaxProcessorSeconds, kMaxProcessorSeconds};
  setrlimit(RLIMIT_CPU, &processor);
  const auto bytes = static_cast<rlim_t>(surroundings.address_space_bytes);
  const rlimit address_space{bytes, bytes};
  if (bytes > 0) setrlimit(RLIMIT_AS, &address_space);
  send_stream(STDERR_FILENO, err);
  send_stream(STDOUT_FILENO, out);
  if (!surroundings.folder.empty() && chdir(surroundings.folder.c_str()) != 0) _exit(kCannotStart);
  for (const int stopping : {SIGINT, SIGHUP, SIGPIPE}) std::signal(stopping, SIG_DFL);
  execv(path.c_str(), argv.data());
  _exit(kCannotStart);
}

// body(child) before waiting for its end.
template <class Body>
Outcome run(const std::string& path, const Arguments& arguments, const Surroundings& surroundings,
            Body&& body) {
  const Workplace place;
  const std::string err = place.write("stderr", ""), kept = place.write("stdout", ""),
                    out = surroundings.out.empty() ? kept : surroundings.out;
  const pid_t child = fork();
  if (child == 0) become(path, arguments, out, err, surroundings);
  body(child);
  int status = 0;
  rusage usage{};
  EXPECT_EQ(wait4(child, &status, 0, &usage), child);
  const int code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  EXPECT_NE(code, kCannotStart) << path;
  return {code, read_text(kept), read_text(err), int64_t{usage.ru_maxrss} * 1024};
}

// Whether the child still runs; it stays to be waited for.
bool runs(pid_t child) {
  siginfo_t ended{};
  return waitid(P_PID, static_cast<id_t>(child), &ended, WEXITED | WNOHANG | WNOWAIT) == 0 &&
         ended.si_pid == 0;
}

// Returns when the file is more than empty, or the child has ended.
void await(const std::string& file, pid_t child) {
  std::error_code none;
  const auto is_there = [&] {
    const auto bytes = std::filesystem::file_size(file, none);
    return !none && bytes > 0;
  };
  while (!is_there() && runs(child)) std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

}  // namespace

Outcome run_qsweep(const Arguments& arguments, const Surroundings& surroundings) {
  return run(program(), arguments, surroundings, [](pid_t) {});
}
Outcome run_qsweep_synth(const Arguments& arguments) {
  return run(testing::from_environment("QSWEEP_SYNTH_PROGRAM", QSWEEP_SYNTH_PROGRAM), arguments, {},
             [](pid_t) {});
}

Outcome run_and_kill(const Arguments& arguments, std::chrono::duration<double> after) {
  return run(program(), arguments, {}, [&](pid_t child) {
    std::this_thread::sleep_for(after);
    kill(child, SIGKILL);
  });
}

Outcome run_and_signal(const Arguments& arguments, const std::vector<int>& signals, const std::string& file) {
  return run(program(), arguments, {}, [&](pid_t child) {
    await(file, child);
    for (const int signal : signals) kill(child, signal);
  });
}

Outcome run_and_meet(const Arguments& arguments, const std::string& file, const std::function<void()>& then) {
  return run(program(), arguments, {}, [&](pid_t child) {
    await(file, child);
    then();
  });
}

double number_after(const std::string& text, const std::string& words) {
  const size_t at = text.find(words);
  EXPECT_NE(at, std::string::npos) << words << " is not in " << text;
  return at == std::string::npos ? 0 : std::strtod(text.c_str() + at + words.size(), nullptr);
}

std::string testdata(const std::string& path) { return testing::testdata_folder() + "/" + path; }

std::map<std::string, std::string> files_in(const std::string& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    files[entry.path().filename().string()] = entry.is_regular_file() ? read_text(entry.path().string()) : "";
  return files;
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
