// What a clang build, which runs its loops on one thread, sees of OpenMP.
#pragma once

inline void omp_set_dynamic(int) {}
inline void omp_set_num_threads(int) {}
inline int omp_get_num_threads() { return 1; }
inline int omp_get_num_procs() { return 1; }
