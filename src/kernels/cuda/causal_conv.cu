#include "kernels/causal_conv-inl.h"
#include "kernels/cuda/launch.h"

QSWEEP_LAUNCH(CausalConv);
QSWEEP_LAUNCH(CausalConvVjp);
