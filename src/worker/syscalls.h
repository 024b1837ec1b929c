// SPDX-License-Identifier: Apache-2.0
/* The system calls that the worker has once it reads foreign bytes; any other is EPERM. */
#pragma once

#include <stdbool.h>

#include "base/err.h"

CHECKED struct err *syscalls_confine(bool writes_files);
