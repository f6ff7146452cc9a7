#include "report/time.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/json.h"

namespace qsweep::report {
namespace {

using io::Json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

Json provenance() {
  return {
      {"wall_s", 200},
      {"phases_s", {{"load", 1}, {"sweep", 150}, {"rate", 15}, {"calibrate", 20}}},
      {"work",
       {{"calibrate",
         {{"gemm reference", {{"calls", 3}, {"seconds", 19}, {"flops", 38e9}}},
          {"weights", {{"calls", 2}, {"seconds", 0.99}, {"bytes", 0x1p20}}}}},
        {"rate", {{"gemm reference", {{"calls", 9}, {"seconds", 15}, {"flops", 1e9}}}}},
        {"sweep",
         {{"row kernels", {{"calls", 50}, {"seconds", 30}}},
          {"gemm deltas", {{"calls", 1000000}, {"seconds", 90}, {"flops", 900e9}}},
          {"a new kind", {{"calls", 1}, {"seconds", 15}}},
          {"weights", {{"calls", 4}, {"seconds", 7.5}, {"bytes", 0x1p21}}},
          {"head", {{"calls", 1}, {"seconds", 0.1}}}}}}},
      {"gemm",
       {{"gflop", 900},
        {"gflops_per_s", 6},
        {"share", 0.6},
        {"peak_gflops_per_s", 10},
        {"peak_of", {{{"dtype", "bf16"}, {"rows", 4096}, {"in", 64}, {"out", 32}, {"gflops_per_s", 10}}}}}},
      {"processor",
       {{"user_s", 100},
        {"system_s", 25},
        {"page_faults", 5000000},
        {"page_faults_read", 7},
        {"storage_read_bytes", 0x1p20}}}};
}

TEST(Time, ListsTheWorkOfLongPhases) {
  const std::string text = time_section(provenance());
  EXPECT_THAT(text, HasSubstr("| Phase | Time | Share |\n| --- | ---: | ---: |\n"
                              "| sweep | 2.50 min | 75.0 % |\n| calibrate | 20.0 s | 10.0 % |\n"));
  // The longest first; what is short, or recorded nowhere, is the rest of the phase's time.
  EXPECT_THAT(text, HasSubstr("| GEMM of deltas | 1000000 | 90.0 s | 60.0 % | 10.0 Gflop/s |\n"
                              "| row kernels between ops | 50 | 30.0 s | 20.0 % |  |\n"
                              "| a new kind | 1 | 15.0 s | 10.0 % |  |\n"
                              "| reading and widening weights | 4 | 7.50 s | 5.00 % | 2.00 MiB |\n"
                              "| other |  | 7.50 s | 5.00 % |  |\n"));
  EXPECT_THAT(text, HasSubstr("| Work in the phase calibrate |"));
  EXPECT_THAT(text, AllOf(Not(HasSubstr("phase load")), Not(HasSubstr("phase rate"))));
}

TEST(Time, SaysWhatTheMachineCouldDo) {
  const std::string text = time_section(provenance());
  EXPECT_THAT(
      text, HasSubstr("900 Gflop, 6.00 Gflop/s over its whole time: 60.0 % of the 10.0 Gflop/s that this "
                      "machine reaches on the sweep's main products alone: bf16 [4096, 64] by 32 at 10.0."));
  EXPECT_THAT(text,
              HasSubstr("100 s in the program and 25.0 s in the system, with 5000007 page faults, of which "
                        "7 waited for storage. Weights read: 3.00 MiB; read from storage in all: 1.00 MiB."));
}

TEST(Time, ALineHasTheEssence) {
  EXPECT_EQ(
      time_line(provenance()),
      "2.50 min of 3.33 min in the phase sweep: GEMM of deltas 60.0 %, row kernels between ops 20.0 %, a new "
      "kind 10.0 %, reading and widening weights 5.00 %; products at 6.00 Gflop/s, 60.0 % of what they reach "
      "alone");
}

TEST(Time, WhatIsMissingIsLeftOut) {
  for (const char* text : {"{}", "[]", "3", R"({"phases_s": 1})", R"({"phases_s": {"sweep": "long"}})",
                           R"({"work": {"sweep": {}}})"}) {
    EXPECT_EQ(time_section(Json::parse(text)), "") << text;
    EXPECT_EQ(time_line(Json::parse(text)), "") << text;
  }
  Json some = provenance();
  some["work"]["sweep"] = {{"row kernels", 1}, {"weights", {{"seconds", 75}, {"bytes", "many"}}}};
  some["processor"].erase("storage_read_bytes");
  some["gemm"] = {{"gflops_per_s", 6}, {"peak_of", {1, {{"dtype", 5}}}}};
  EXPECT_THAT(time_section(some),
              AllOf(HasSubstr("| reading and widening weights | – | 75.0 s | 50.0 % |  |"),
                    HasSubstr("from storage in all: unknown"), HasSubstr("– [–, –] by –")));
  some.erase("gemm");
  some.erase("processor");
  EXPECT_EQ(time_line(some), "2.50 min of 3.33 min in the phase sweep: reading and widening weights 50.0 %");
}

}  // namespace
}  // namespace qsweep::report
