#include "base/team.h"

#include <omp.h>

namespace qsweep {

int team_size(Threads wanted) {
  set_team(wanted);
  int size = 1;
#pragma omp parallel num_threads(wanted.count)
  {
#pragma omp single
    size = omp_get_num_threads();
  }
  return size;
}

void set_team(Threads threads) {
  omp_set_dynamic(0);  // else the runtime gives fewer while the machine is busy
  omp_set_num_threads(threads.count);
}

}  // namespace qsweep
