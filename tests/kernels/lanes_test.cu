#include "kernels/cuda/launch.h"
#include "kernels/lanes_kernels-inl.h"

QSWEEP_LAUNCH(Apply32);
QSWEEP_LAUNCH(Apply64);
QSWEEP_LAUNCH(NarrowToBf16);
QSWEEP_LAUNCH(WidenTo32);
QSWEEP_LAUNCH(WidenTo64);
QSWEEP_LAUNCH(Float32To64);
QSWEEP_LAUNCH(Sum32);
QSWEEP_LAUNCH(Sum64);
QSWEEP_LAUNCH(Max32);
QSWEEP_LAUNCH(First32);
QSWEEP_LAUNCH(Sequence);
QSWEEP_LAUNCH(Parts);
QSWEEP_LAUNCH(LargestOfParts);
