#include "kernels/cuda/launch.h"
#include "kernels/unpack-inl.h"

QSWEEP_LAUNCH(CopyStrided);
QSWEEP_LAUNCH(ScaleCodes);
QSWEEP_LAUNCH(ScaleColumns);
