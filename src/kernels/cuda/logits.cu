#include "kernels/cuda/launch.h"
#include "kernels/logits-inl.h"

QSWEEP_LAUNCH(UpdateNormalizers);
QSWEEP_LAUNCH(Probabilities);
QSWEEP_LAUNCH(ShiftAlong);
QSWEEP_LAUNCH(AccumulateLogits);
