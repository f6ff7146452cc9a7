// Where the time goes: spans of named kinds of work, added up by kind, and on request written as a trace that
// ui.perfetto.dev and chrome://tracing show (trace event format, JSON).
//
//   trace::Recorder recorder;             // of what this thread does from now on
//   {
//     const trace::Span span("attention");
//     ...                                 // spans inside are counted apart
//   }
//   recorder.phases();
//
// The recorder belongs to a thread and is found there, so that a span is one line anywhere. Nothing that is
// computed depends on it. Without one, and in other threads, a span is a comparison with null.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace qsweep::trace {

// What a span did beside taking time.
struct Work {
  double flops = 0;
  double bytes = 0;  // read from files
};

// All spans of one kind.
struct Account {
  int64_t calls = 0;
  double self_s = 0;   // wall time without that of the spans inside
  double total_s = 0;  // with it
  Work work;
};

// Spans of this kind divide a run; of nested ones the outer counts.
inline constexpr const char* kPhase = "phase";
// The name of the phase that holds what is done outside all others.
inline constexpr const char* kNoPhase = "other";

struct Phase {
  std::string name;
  double seconds = 0;  // 0 for kNoPhase
  std::map<std::string, Account, std::less<>> kinds;
};

class Span;

// The time of a device that works behind the thread which asks it.
class DeviceClock {
 public:
  virtual ~DeviceClock() = default;
  // When the device has done what it was asked for so far. Spans begin and end with one, so no error leaves.
  virtual size_t mark() noexcept = 0;
  // Waits for the device, and takes both marks back.
  virtual double seconds(size_t from, size_t to) noexcept = 0;
};

class Recorder {
 public:
  // Takes the trace as it grows, a valid JSON text once finish() has returned.
  using Writer = std::function<void(std::string_view)>;

  // Records the calling thread until it is destroyed; one recorder per thread at a time. Without a writer
  // there is no trace. A trace leaves out short spans so that its length grows ever more slowly with the
  // time: after every `events_per_limit` spans written, only those of twice the length are.
  explicit Recorder(Writer writer = {}, int64_t events_per_limit = 1 << 15);
  // Every span must have ended.
  ~Recorder();
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;

  // From now on spans are added up by this clock; null: by the thread's own, as the trace always is.
  void use_clock(DeviceClock* clock);

  // Ends the trace, without the spans that are open. Throws what the writer threw, after which nothing was
  // written any more.
  void finish();

  // In the order of their first span; kNoPhase first where there is anything in it. Phases of one name are
  // one. Spans that are open do not count yet.
  std::vector<Phase> phases();

 private:
  friend class Span;
  using Clock = std::chrono::steady_clock;

  struct Marked {
    Account* account;
    Account* outer;  // null: none
    size_t begin, end;
  };

  void begin(Span& span);
  void end(Span& span);
  Account& account(size_t phase, const char* kind);
  void settle();
  void write_span(const Span& span, Clock::time_point now);
  void write_counters(Clock::time_point now);
  void flush_if_full();
  void flush();

  static constinit thread_local Recorder* current_;

  Clock::time_point start_ = Clock::now();
  Span* innermost_ = nullptr;
  std::vector<Phase> phases_{{.name = kNoPhase}};
  size_t phase_ = 0;
  DeviceClock* clock_ = nullptr;
  std::vector<Marked> marked_;  // not added up yet

  Writer writer_;  // empty: no trace
  std::exception_ptr error_;
  std::string buffer_;
  int64_t events_per_limit_;
  int64_t written_ = 0, left_out_ = 0;
  Clock::duration shortest_;
  Clock::time_point last_counters_ = start_;
  double flops_ = 0;  // since the last counters
};

class Span {
 public:
  // kind: a literal. name: what the trace shows, the kind where it is empty; it must outlive the span.
  explicit Span(const char* kind, Work work = {}) : Span(kind, {}, work) {}
  Span(const char* kind, std::string_view name, Work work = {})
      : recorder_(Recorder::current_), kind_(kind), name_(name), work_(work) {
    if (recorder_ != nullptr) recorder_->begin(*this);
  }
  ~Span() {
    if (recorder_ != nullptr) recorder_->end(*this);
  }
  Span(const Span&) = delete;
  Span& operator=(const Span&) = delete;

  // Shown with the span in the trace; at most kMaxArgs, whose texts must outlive the span.
  void arg(std::string_view key, int64_t value) { add({.key = key, .number = value}); }
  void arg(std::string_view key, std::string_view value) { add({.key = key, .text = value}); }

 private:
  friend class Recorder;
  static constexpr size_t kMaxArgs = 5;
  struct Arg {
    std::string_view key, text = {};  // without a text it is the number
    int64_t number = 0;
  };
  void add(Arg arg) {
    if (args_ < kMaxArgs) arg_[args_++] = arg;
  }

  Recorder* recorder_;
  const char* kind_;
  std::string_view name_;
  Work work_;
  size_t args_ = 0;
  std::array<Arg, kMaxArgs> arg_;
  Span* outer_ = nullptr;
  size_t outer_phase_ = 0;
  Recorder::Clock::time_point start_{};
  double inside_s_ = 0;         // of the spans inside
  std::optional<size_t> mark_;  // of a device's clock
};

}  // namespace qsweep::trace
