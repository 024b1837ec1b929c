// SPDX-License-Identifier: Apache-2.0
/* The service "test.Echo": every message is a google.protobuf.Any; what each method does is said at
 * its function. */
#pragma once

#include "rpc/rpc.h"

extern const struct rpc_service rpc_echo_service;
/* Calls of Block and Park that saw their cancellation, and calls of Park that wait. */
unsigned rpc_echo_cancels(void);
unsigned rpc_echo_parked(void);
