#include "kernels/cuda/launch.h"
#include "kernels/row_moves-inl.h"

QSWEEP_LAUNCH(GatherDelta);
QSWEEP_LAUNCH(Scatter);
QSWEEP_LAUNCH(SumRows);
QSWEEP_LAUNCH(AddRows);
QSWEEP_LAUNCH(MeanRows);
QSWEEP_LAUNCH(MeanRowsVjp);
QSWEEP_LAUNCH(InterleaveRows);
QSWEEP_LAUNCH(InterleaveRowsVjp);
