#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/delta_rule.cc"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

#include "kernels/delta_rule_vjp-inl.h"
#include "kernels/dispatch.h"

#if HWY_ONCE
namespace qsweep::kernels {
QSWEEP_EXPORT(ScanDeltaRule);
QSWEEP_EXPORT(ScanDeltaRuleChanges);
QSWEEP_EXPORT(ScanDeltaRuleBack);

void delta_rule(Device device, const DeltaRule& rule, DeltaRuleSlots slots,
                std::span<const DeltaRuleScan> scans, const DeltaRuleInputs& x, Matrix<float> o) {
  run_rows(device, slots.count, QSWEEP_KERNEL_OF(ScanDeltaRule), rule, slots, scans.data(), std::ssize(scans),
           x, o);
}

void delta_rule_delta(Device device, const DeltaRule& rule, DeltaRuleSlots slots,
                      std::span<const DeltaRuleScan> scans, std::span<const DeltaRulePair> pairs,
                      const DeltaRuleInputs& x, const DeltaRuleViews& dx, MatrixView d_o) {
  run_rows(device, slots.count, QSWEEP_KERNEL_OF(ScanDeltaRuleChanges), rule, slots, scans.data(),
           std::ssize(scans), pairs.data(), x, dx, d_o);
}

void delta_rule_vjp(Device device, const DeltaRule& rule, DeltaRuleSlots slots,
                    std::span<const DeltaRuleScan> scans, const DeltaRuleInputs& x, MatrixView d_o,
                    int64_t probes, int64_t columns, const DeltaRuleViews& dx) {
  run_rows(device, slots.count, QSWEEP_KERNEL_OF(ScanDeltaRuleBack), rule, slots, scans.data(),
           std::ssize(scans), x, d_o, probes, columns, dx);
}

}  // namespace qsweep::kernels
#endif  // HWY_ONCE
