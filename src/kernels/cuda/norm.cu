#include "kernels/cuda/launch.h"
#include "kernels/norm-inl.h"

QSWEEP_LAUNCH(RmsNorm);
QSWEEP_LAUNCH(RmsNormDelta);
QSWEEP_LAUNCH(RmsNormVjp);
QSWEEP_LAUNCH(LayerNorm);
QSWEEP_LAUNCH(LayerNormDelta);
QSWEEP_LAUNCH(LayerNormVjp);
