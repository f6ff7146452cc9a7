#include "schedule/phase_log.h"

#include <algorithm>
#include <chrono>

#include "base/trace.h"

namespace qsweep::schedule {
namespace {

std::string boundary_key(const std::string& pass) { return pass + "/boundary"; }

}  // namespace

void Cost::add(const Cost& other) {
  seconds += other.seconds;
  for (size_t p = 0; p < products.size(); ++p) products[p].add(other.products[p]);
}

Cost PhaseLog::now(const kernels::Gemm& gemm) {
  Cost cost;
  cost.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
  for (size_t p = 0; p < cost.products.size(); ++p)
    cost.products[p] = gemm.count(static_cast<kernels::GemmPurpose>(p));
  return cost;
}

// In all processes, until now.
Cost PhaseLog::cost_of(const Pass& pass) {
  Cost cost = now(pass.gemm);
  cost.seconds -= pass.begin.seconds;
  for (size_t p = 0; p < cost.products.size(); ++p)
    cost.products[p] = cost.products[p].since(pass.begin.products[p]);
  cost.add(pass.earlier);
  return cost;
}

MemoryPlan PhaseLog::plan(const std::function<MemoryPlan()>& make) {
  MemoryPlan plan;
  const auto read = [&](io::ByteSource& from) {
    plan.budget_bytes = from.get<int64_t>();
    plan.base_bytes = from.get<int64_t>();
    while (from.left() > 0) {
      Chunk& chunk = plan.chunks.emplace_back();
      chunk.samples = from.get<std::vector<int>>();
      chunk.variants = from.get<std::vector<pass::VariantId>>();
      chunk.keep_every = from.get<int>();
      chunk.keep_linear_outputs = from.get<bool>();
      chunk.plan = from.get<pass::PassReport>();
    }
  };
  if (keeping_.journal != nullptr && keeping_.journal->read(phase_ + "/plan", read)) {
    keeping_.journal->read(phase_ + "/devices", [&](io::ByteSource& from) {
      for (Chunk& chunk : plan.chunks) chunk.device = from.get<size_t>();
    });
    return plan;
  }
  plan = make();
  keep(plan);
  return plan;
}

void PhaseLog::keep(const MemoryPlan& plan) {
  if (keeping_.journal == nullptr) return;
  const auto write_plan = [&](io::ByteSink& to) {
    to.put(plan.budget_bytes);
    to.put(plan.base_bytes);
    for (const Chunk& chunk : plan.chunks) {
      to.put(chunk.samples);
      to.put(chunk.variants);
      to.put(chunk.keep_every);
      to.put(chunk.keep_linear_outputs);
      to.put(chunk.plan);
    }
  };
  const auto write_devices = [&](io::ByteSink& to) {
    for (const Chunk& chunk : plan.chunks) to.put(chunk.device);
  };
  keeping_.journal->atomically([&] {
    keeping_.journal->write(phase_ + "/plan", write_plan);
    if (plan.devices() > 1) keeping_.journal->write(phase_ + "/devices", write_devices);
  });
}

Cost PhaseLog::earlier() const {
  Cost all;
  double seconds = 0;
  for (const auto& [device, cost] : earlier_) {
    all.add(cost);
    seconds = std::max(seconds, cost.seconds);
  }
  all.seconds = seconds;
  return all;
}

// Reads the record of a finished pass: the arithmetic done in it; none where it has not been finished.
std::optional<double> PhaseLog::finished(Pass& pass) {
  double flops = 0;
  const auto read = [&](io::ByteSource& from) {
    pass.earlier = from.get<Cost>();
    flops = from.get<double>();
    pass.told.get_from(from);
  };
  const std::lock_guard lock(*mutex_);
  if (!keeping_.journal->read(pass.key, read)) return {};
  earlier_[pass.device].add(pass.earlier);
  return flops;
}

void PhaseLog::finish(const Pass& pass, double flops) {
  const trace::Span span("journal");
  const Cost cost = cost_of(pass);
  const std::lock_guard lock(*mutex_);
  keeping_.journal->atomically([&] {
    keeping_.journal->write(pass.key, [&](io::ByteSink& to) {
      to.put(cost);
      to.put(flops);
      pass.told.put_to(to);
    });
    keeping_.journal->remove(boundary_key(pass.key));
  });
}

pass::Boundaries PhaseLog::boundaries_of(Pass& pass, std::function<void()> tell_again) {
  pass.last_s = pass.begin.seconds;
  return {.restore =
              [this, &pass, tell_again = std::move(tell_again)](graph::Variants& variants) {
                const size_t stages = restore(pass, variants);
                tell_again();
                return stages;
              },
          .reached = [this, &pass](size_t stages,
                                   const graph::Variants& variants) { reached(pass, stages, variants); }};
}

size_t PhaseLog::restore(Pass& pass, graph::Variants& variants) {
  uint64_t stages = 0;
  const auto read = [&](io::ByteSource& from) {
    stages = from.get<uint64_t>();
    pass.earlier = from.get<Cost>();
    pass.told.get_from(from);
    variants.restore(from);
  };
  const std::lock_guard lock(*mutex_);
  keeping_.journal->read(boundary_key(pass.key), read);
  earlier_[pass.device].add(pass.earlier);
  return stages;
}

// States can be large: where writing one takes longer than a second, the next one waits accordingly, so that
// at most a twentieth of the time goes into them.
void PhaseLog::reached(Pass& pass, size_t stages, const graph::Variants& variants) {
  const double begin = now(pass.gemm).seconds;
  if (begin - pass.last_s < keeping_.boundary_s * std::max(1.0, pass.last_took_s)) return;
  const trace::Span span("journal");
  const std::lock_guard lock(*mutex_);
  keeping_.journal->write(boundary_key(pass.key), [&](io::ByteSink& to) {
    to.put(uint64_t{stages});
    to.put(cost_of(pass));
    pass.told.put_to(to);
    variants.save(to);
  });
  pass.last_s = now(pass.gemm).seconds;
  pass.last_took_s = pass.last_s - begin;
}

}  // namespace qsweep::schedule
