#include "kernels/activations-inl.h"
#include "kernels/cuda/launch.h"

QSWEEP_LAUNCH(Swiglu);
QSWEEP_LAUNCH(SwigluDelta);
QSWEEP_LAUNCH(Gelu);
QSWEEP_LAUNCH(GeluDelta);
QSWEEP_LAUNCH(SwigluVjp);
QSWEEP_LAUNCH(GeluVjp);
