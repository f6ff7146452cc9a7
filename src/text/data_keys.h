// The keys of data files: which are read, which may be there, and why others are refused.
#pragma once

#include "io/json_fwd.h"

namespace qsweep::text {

enum class Place : unsigned {
  dialogue = 1,   // a line with messages
  token_ids = 2,  // a line with input_ids
  message = 4,
  text = 8,    // a part of a message
  image = 16,  // the same, or an entry of images
};

// Error that names the first key that is not known to be read or without influence here: it might change what
// the data means.
void check_keys(const io::ObjectReader& object, Place place);

}  // namespace qsweep::text
