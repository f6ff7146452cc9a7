#include "kernels/cuda/launch.h"
#include "kernels/quantize-inl.h"

QSWEEP_LAUNCH(FakeQuantizeGroups);
QSWEEP_LAUNCH(FakeQuantizeAffine);
QSWEEP_LAUNCH(QuantizeRows);
QSWEEP_LAUNCH(QuantizeAffine);
QSWEEP_LAUNCH(Dequantize);
QSWEEP_LAUNCH(RowAbsmax);
QSWEEP_LAUNCH(RowMinMax);
QSWEEP_LAUNCH(JoinRanges);
QSWEEP_LAUNCH(RowSum);
QSWEEP_LAUNCH(RowSquaredNorm);
