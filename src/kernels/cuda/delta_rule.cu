#include "kernels/cuda/launch.h"
#include "kernels/delta_rule_vjp-inl.h"

QSWEEP_LAUNCH(ScanDeltaRule);
QSWEEP_LAUNCH(ScanDeltaRuleChanges);
QSWEEP_LAUNCH(ScanDeltaRuleBack);
