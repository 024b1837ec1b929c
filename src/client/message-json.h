// SPDX-License-Identifier: Apache-2.0
/* Messages as Go's encoding/json prints the structures that Go generates for them: names as in the
 * .proto, what is zero left out, bytes in base64, timestamps as RFC 3339. */
#pragma once

#include <protobuf-c/protobuf-c.h>

#include "base/buf.h"

/* False when the buffer is full. */
CHECKED bool message_to_json(const void *message, struct buf *b);
