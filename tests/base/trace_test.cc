#include "base/trace.h"

#include <stdexcept>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace qsweep::trace {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

void pass_ms(int ms) { std::this_thread::sleep_for(std::chrono::milliseconds(ms)); }

const Account& account(const Phase& phase, const char* kind) { return phase.kinds.find(kind)->second; }

TEST(Trace, SpansInsideAreCountedApart) {
  Recorder recorder;
  {
    const Span outer("outer");
    pass_ms(20);
    for (int i = 0; i < 2; ++i) {
      const Span inner("inner", {.flops = 3, .bytes = 5});
      pass_ms(20);
    }
  }
  const std::vector<Phase> phases = recorder.phases();
  ASSERT_EQ(phases.size(), 1u);
  const Account &outer = account(phases[0], "outer"), &inner = account(phases[0], "inner");
  EXPECT_EQ(phases[0].name, kNoPhase);
  EXPECT_EQ(outer.calls, 1);
  EXPECT_EQ(inner.calls, 2);
  EXPECT_EQ(inner.work.flops, 6);
  EXPECT_EQ(inner.work.bytes, 10);
  EXPECT_GE(outer.total_s, 0.06);
  EXPECT_GE(inner.self_s, 0.04);
  EXPECT_NEAR(outer.self_s, outer.total_s - inner.total_s, 1e-9);
  EXPECT_EQ(inner.self_s, inner.total_s);
}

TEST(Trace, TheOuterPhaseHoldsWhatIsInside) {
  Recorder recorder;
  for (int i = 0; i < 2; ++i) {
    const Span sweep(kPhase, "sweep");
    const Span within(kPhase, "plan");
    const Span work("work");
    pass_ms(5);
  }
  {
    const Span plan(kPhase, "plan");
    const Span work("work");
  }
  const std::vector<Phase> phases = recorder.phases();
  ASSERT_EQ(phases.size(), 2u);
  EXPECT_EQ(phases[0].name, "sweep");
  EXPECT_EQ(phases[1].name, "plan");
  EXPECT_EQ(account(phases[0], "work").calls, 2);
  EXPECT_EQ(account(phases[1], "work").calls, 1);
  EXPECT_GE(phases[0].seconds, 0.01);
  EXPECT_LT(phases[1].seconds, phases[0].seconds);
  // All of a phase's time is some kind's own.
  double self_s = 0;
  for (const auto& [kind, a] : phases[0].kinds) self_s += a.self_s;
  EXPECT_NEAR(self_s, phases[0].seconds, 1e-9);
}

// A clock that moves on by the second with every mark.
class CountingClock final : public DeviceClock {
 public:
  size_t mark() noexcept override {
    ++open_;
    return next_++;
  }
  double seconds(size_t from, size_t to) noexcept override {
    open_ -= 2;
    return static_cast<double>(to - from);
  }
  int64_t open() const { return open_; }

 private:
  size_t next_ = 0;
  int64_t open_ = 0;
};

TEST(Trace, ADevicesClockAddsUpSpans) {
  CountingClock clock;
  Recorder recorder;
  {
    const Span before("outer");  // by the thread's clock
    recorder.use_clock(&clock);
    const Span phase(kPhase, "sweep");
    for (int i = 0; i < 3; ++i) {
      const Span stage("stage");
      const Span products("products");
      const Span copies("copies");
    }
  }
  const std::vector<Phase> phases = recorder.phases();
  EXPECT_EQ(clock.open(), 0);
  ASSERT_EQ(phases.size(), 2u);
  const auto expect = [&](const char* kind, double self_s, double total_s) {
    EXPECT_EQ(account(phases[1], kind).self_s, self_s) << kind;
    EXPECT_EQ(account(phases[1], kind).total_s, total_s) << kind;
  };
  expect("copies", 3, 3);
  expect("products", 6, 9);
  expect("stage", 6, 15);
  expect(kPhase, 19 - 15, 19);
  EXPECT_LT(phases[1].seconds, 1);  // phases are the thread's
}

TEST(Trace, OnlyTheRecordersThreadIsRecorded) {
  { const Span nobody_listens("work"); }
  Recorder recorder;
  std::thread([] { const Span elsewhere("work"); }).join();
  EXPECT_TRUE(recorder.phases().empty());
}

std::string traced(int spans, int64_t events_per_limit) {
  std::string text;
  Recorder recorder([&](std::string_view piece) { text += piece; }, events_per_limit);
  {
    Span long_one("outer", "a \"quoted\"\nname");
    long_one.arg("dtype", "bf16");
    long_one.arg("rows", int64_t{7});
    for (int i = 0; i < spans; ++i) {
      const Span inner("inner", {.flops = 1e9});
      pass_ms(1);
    }
  }
  recorder.finish();
  return text;
}

size_t count(const std::string& text, const std::string& part) {
  size_t n = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
  return n;
}

TEST(Trace, TheTraceHasSpansAndCounters) {
  const std::string text = traced(60, 1000);
  EXPECT_THAT(text, AllOf(StartsWith("{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n"),
                          EndsWith("\n],\"otherData\":{\"spans_left_out\":0,\"shorter_than_us\":50}}\n")));
  EXPECT_EQ(count(text, "\"cat\":\"inner\",\"name\":\"inner\",\"args\":{\"flops\":1000000000}}"), 60u);
  EXPECT_EQ(count(text,
                  "\"cat\":\"outer\",\"name\":\"a \\u0022quoted\\u0022\\u000aname\","
                  "\"args\":{\"dtype\":\"bf16\",\"rows\":7}}"),
            1u);
  EXPECT_GE(count(text, "\"ph\":\"C\",\"pid\":1,\"ts\":"), 2u);
  EXPECT_THAT(text, HasSubstr("\"name\":\"products\",\"args\":{\"GFLOP/s\":"));
  EXPECT_THAT(text, HasSubstr("\"name\":\"resident memory\",\"args\":{\"MiB\":"));
}

// Every other span written doubles the length from which spans are written: 50 us 2^5 are more than 1 ms.
TEST(Trace, LongRunsLeaveOutShortSpans) {
  const std::string text = traced(60, 2);
  const size_t inner = count(text, "\"cat\":\"inner\"");
  EXPECT_GE(inner, 10u);
  EXPECT_LT(inner, 30u);
  EXPECT_EQ(count(text, "\"cat\":\"outer\""), 1u);
  EXPECT_THAT(text, Not(HasSubstr("\"spans_left_out\":0,")));
}

TEST(Trace, TheWritersErrorComesAtTheEnd) {
  int calls = 0;
  Recorder recorder([&](std::string_view) {
    ++calls;
    throw std::runtime_error("the disk is full");
  });
  const std::string name(70'000, 'x');
  for (int i = 0; i < 3; ++i) {
    const Span span("work", name);
    pass_ms(1);
  }
  EXPECT_EQ(calls, 1);
  EXPECT_THROW(recorder.finish(), std::runtime_error);
  EXPECT_EQ(account(recorder.phases().front(), "work").calls, 3);
}

}  // namespace
}  // namespace qsweep::trace
