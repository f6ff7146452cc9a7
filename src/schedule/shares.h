// How a run is shared between devices.
#pragma once

#include <functional>
#include <vector>

namespace qsweep::schedule {

// What one device computes: these samples with these of the variants that are measured, ascending.
struct Share {
  std::vector<int> samples, variants;
};
// The arithmetic of a share, the reference's included.
using Work = std::function<double(const Share&)>;

// Devices make a grid of groups and strides. A group has some of the samples, dealt out by their arithmetic,
// the largest first, always to the group with the least so far; stride k of n has the variants k, k + n,
// k + 2 n and so on, so that early and late forks are in all of them. Of all grids it is the one whose
// largest share has the least arithmetic; of equal ones that with more groups, where more of the references
// are computed once. There is a share for every device, in the order of the devices; where there is too
// little to share, some are empty. variants: 0 where samples alone are measured.
std::vector<Share> shares_of(int devices, int samples, int variants, const Work& work);

}  // namespace qsweep::schedule
