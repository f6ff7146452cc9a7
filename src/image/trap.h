// C codecs report errors through a callback that must not return. They are C frames, so an exception may not
// pass through them: the callback jumps to the trap, and the trap throws.
#pragma once

#include <csetjmp>

#include "base/error.h"

namespace qsweep::image {

struct Trap {
  std::jmp_buf jump;
  char message[256];  // a fixed buffer: the callback's frame is left by a jump and may own nothing
};

// Runs `body`; an Error with the trap's message where a callback jumped to the trap. The jump skips
// destructors, so no object that owns anything may live inside the body while it calls into the codec. Not
// inlined: the caller's variables must not be in the frame that setjmp returns to twice.
template <class Body>
[[gnu::noinline]] void run_trapped(Trap& trap, const Body& body) {
  if (setjmp(trap.jump) != 0) fail("{}", trap.message);
  body();
}

}  // namespace qsweep::image
