// The team of threads that OpenMP gives, for what depends on its size.
#pragma once

#include "base/parallel.h"

namespace qsweep {

// How many threads OpenMP gives to a loop of the calling thread that asks for so many: fewer where the
// environment limits them, as by OMP_THREAD_LIMIT or OMP_MAX_ACTIVE_LEVELS. parallel_for does all of its
// pieces with any number; a library that deals out work beforehand, as oneDNN does, must know it.
int team_size(Threads wanted);

// What a library that takes its team from the calling thread's settings gets from now on.
void set_team(Threads threads);

}  // namespace qsweep
