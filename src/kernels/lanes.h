// The lanes of the device that is compiled for. No include guard: lanes-inl.h is included once per
// instruction set.
#ifdef QSWEEP_CUDA_CODE
#include "kernels/cuda/lanes_cuda.h"
#else
#include "kernels/lanes-inl.h"
#endif
