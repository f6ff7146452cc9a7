#include "kernels/attention_rows-inl.h"
#include "kernels/cuda/launch.h"

QSWEEP_LAUNCH(Softmax);
QSWEEP_LAUNCH(SoftmaxDelta);
QSWEEP_LAUNCH(SoftmaxVjp);
