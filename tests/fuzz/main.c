// SPDX-License-Identifier: Apache-2.0
/* Feeds each file named on the command line to the fuzz target: the corpus as a plain test. With a
 * fuzzing engine (-fsanitize=fuzzer) this file is left out. */
#include <stdint.h>
#include <stdio.h>

#include "base/fs.h"

#define INPUT_MAX ((size_t)16 * 1024 * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		autofree char *data = NULL;
		size_t len = 0;
		autoptr(err) e = file_read(argv[i], INPUT_MAX, &data, &len);

		if (e) {
			fprintf(stderr, "%s\n", err_message(e));
			return 1;
		}
		(void)LLVMFuzzerTestOneInput((const uint8_t *)data, len);
	}
	return argc > 1 ? 0 : 1;
}
