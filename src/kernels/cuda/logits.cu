#include "kernels/logits-inl.h"

#include "kernels/cuda/launch.h"

QSWEEP_LAUNCH(UpdateNormalizers);
QSWEEP_LAUNCH(Probabilities);
QSWEEP_LAUNCH(ShiftAlong);
QSWEEP_LAUNCH(AccumulateLogits);
