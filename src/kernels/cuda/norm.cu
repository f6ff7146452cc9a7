#include "kernels/cuda/launch.h"
#include "kernels/norm-inl.h"

QSWEEP_LAUNCH(RmsNorm);
QSWEEP_LAUNCH(RmsNormDelta);
QSWEEP_LAUNCH(RmsNormVjp);
