#include "kernels/cuda/launch.h"
#include "kernels/probes-inl.h"

QSWEEP_LAUNCH(FillProbes);
QSWEEP_LAUNCH(AddProjections);
QSWEEP_LAUNCH(RowProducts);
QSWEEP_LAUNCH(RowSquaredProducts);
QSWEEP_LAUNCH(ProbeProducts);
