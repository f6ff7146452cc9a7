#include "kernels/cuda/launch.h"
#include "kernels/elementwise-inl.h"

QSWEEP_LAUNCH(Add);
QSWEEP_LAUNCH(AddDelta);
QSWEEP_LAUNCH(AddToParent);
QSWEEP_LAUNCH(Scale);
QSWEEP_LAUNCH(Rotate);
QSWEEP_LAUNCH(RotateDelta);
QSWEEP_LAUNCH(Convert);
QSWEEP_LAUNCH(ToF32);
QSWEEP_LAUNCH(Split);
QSWEEP_LAUNCH(AddParts);
QSWEEP_LAUNCH(SubtractParent);
QSWEEP_LAUNCH(SumPieces);
QSWEEP_LAUNCH(SubtractMean);
