#include "cli/program.h"

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <new>
#include <sstream>
#include <system_error>

#include <fcntl.h>
#include <malloc.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "base/error.h"
#include "base/readable.h"
#include "cli/output.h"
#include "io/mapped_file.h"

namespace qsweep::cli {
namespace {

// OpenMP threads that wait by spinning make every other program on the machine slow, and this one tenfold
// slower beside them. libgomp reads its policy when it is loaded, so a change takes effect in a new image of
// the program.
void let_idle_threads_sleep(char** argv) {
  if (std::getenv("OMP_WAIT_POLICY") != nullptr) return;
  setenv("OMP_WAIT_POLICY", "passive", 1);
  execv(program_path().c_str(), argv);  // returns only on failure: then threads spin
}

// Else the first file that is opened would take the number of a stream that is closed, and be written to.
// What is written to a closed standard output must still fail, so it may only be read.
void occupy_closed_streams() {
  for (const auto& [stream, flags] :
       {std::pair{STDIN_FILENO, O_RDONLY}, {STDOUT_FILENO, O_RDONLY}, {STDERR_FILENO, O_WRONLY}})
    if (fcntl(stream, F_GETFD) < 0 && open("/dev/null", flags) != stream) std::abort();
}

// The text of a message, with values from outside made harmless: here all of them pass.
class ReadableText : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm&, spdlog::memory_buf_t& to) override {
    to.append(readable_message({message.payload.data(), message.payload.size()}));
  }
  std::unique_ptr<custom_flag_formatter> clone() const override { return std::make_unique<ReadableText>(); }
};

void set_up_messages(const std::string& program) {
  spdlog::set_default_logger(spdlog::stderr_color_mt(program));
  auto formatter = std::make_unique<spdlog::pattern_formatter>();
  formatter->add_flag<ReadableText>('*').set_pattern("%^%l:%$ %*");
  spdlog::set_formatter(std::move(formatter));
}

int end_badly(int code, const std::string& sentence) {
  if (!sentence.empty()) spdlog::error("{}", sentence);
  return code;
}

// Prints the help or the version.
int print_text_of(const CLI::App& app, const CLI::Success& success) {
  std::ostringstream out, err;
  const int code = app.exit(success, out, err);
  write_out(out.str());
  return code;
}

// A page of a file that has shrunk was read. Only calls that are safe in a signal's handler; what the journal
// holds stays whole, as in a kill.
void end_at_lost_page(int signal, siginfo_t* info, void*) {
  const char* path = io::mapped_file_at(info->si_addr);
  if (path == nullptr) {  // something else; it comes again and ends the process
    struct sigaction usual {};
    usual.sa_handler = SIG_DFL;
    sigaction(signal, &usual, nullptr);
    return;
  }
  static std::atomic_flag told;  // other threads may come across the same file
  while (told.test_and_set()) pause();
  write_to(STDERR_FILENO, "error: ");
  write_to(STDERR_FILENO, path);
  write_to(STDERR_FILENO,
           ": the file has changed while it was in use: it has shrunk, or cannot be read any more\n");
  _exit(kBadInput);
}

void watch_mapped_files() {
  struct sigaction action {};
  action.sa_sigaction = end_at_lost_page;
  action.sa_flags = SA_SIGINFO;
  sigaction(SIGBUS, &action, nullptr);
}

// The memory plan counts what is in use, so the heap must not keep much more. By default glibc's keeps what
// is freed: in an arena for each of many threads, and below a threshold that rises to 32 MiB with the first
// large block. Large blocks that are used again and again are kept by Tensor, and heaps of threads are hardly
// used at all.
void let_the_heap_give_back() {
  mallopt(M_ARENA_MAX, 2);
  mallopt(M_MMAP_THRESHOLD, 256 << 10);
  mallopt(M_TRIM_THRESHOLD, 512 << 10);
}

}  // namespace

std::string program_path() {
  const auto* started_as = reinterpret_cast<const char*>(getauxval(AT_EXECFN));
  return access("/proc/self/exe", R_OK) == 0 || started_as == nullptr ? "/proc/self/exe" : started_as;
}

int run_program(int argc, char** argv, CLI::App& app,
                const std::function<std::string(const CLI::ParseError&)>& complain) {
  occupy_closed_streams();
  let_idle_threads_sleep(argv);
  let_the_heap_give_back();
  std::signal(SIGPIPE, SIG_IGN);  // a message that nobody reads must not end a run
  set_up_messages(app.get_name());
  watch_mapped_files();
  try {
    try {
      app.parse(argc, argv);
      return 0;
    } catch (const CLI::Success& e) {
      return print_text_of(app, e);
    }
  } catch (const CLI::ParseError& e) {
    return end_badly(kBadInput, complain(e));
  } catch (const Error& e) {
    return end_badly(kBadInput, e.what());
  } catch (const Ending& e) {
    return end_badly(e.code(), e.what());
  } catch (const std::bad_alloc&) {
    return end_badly(kBadInput,
                     "out of memory: the system gives no more to this process; see --memory and ulimit -v");
  } catch (const std::system_error& e) {
    return end_badly(kBadInput, fmt::format("the system refuses: {}", e.what()));
  } catch (const std::exception& e) {
    spdlog::critical("internal error, please report it: {}", e.what());
    return kInternalError;
  }
}

}  // namespace qsweep::cli
