#include "kernels/activations-inl.h"
#include "kernels/cuda/launch.h"

QSWEEP_LAUNCH(Activate);
QSWEEP_LAUNCH(ActivationDelta);
QSWEEP_LAUNCH(ActivationVjp);
QSWEEP_LAUNCH(Gated);
QSWEEP_LAUNCH(GatedDelta);
QSWEEP_LAUNCH(GatedVjp);
