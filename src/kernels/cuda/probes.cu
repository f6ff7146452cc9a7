#include "kernels/probes-inl.h"

#include "kernels/cuda/launch.h"

QSWEEP_LAUNCH(FillProbes);
QSWEEP_LAUNCH(AddProjections);
QSWEEP_LAUNCH(RowProducts);
QSWEEP_LAUNCH(RowSquaredProducts);
