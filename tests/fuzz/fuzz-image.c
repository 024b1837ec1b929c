// SPDX-License-Identifier: Apache-2.0
/* The first byte chooses the document: 'm' manifest, 'i' index, 'c' config. */
#include <stddef.h>
#include <stdint.h>

#include "oci/image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data + 1;
	autoval(image_manifest) manifest = {0};
	autoval(image_index) index = {0};
	autoval(image_config) config = {0};
	char chain[DIGEST_MAX];

	if (!size)
		return 0;
	switch (*data) {
	case 'm':
		err_free(image_manifest_parse(
			text, size - 1, "application/vnd.oci.image.manifest.v1+json", &manifest));
		break;
	case 'i':
		err_free(image_index_parse(
			text, size - 1, "application/vnd.oci.image.index.v1+json", &index));
		break;
	default:
		err_free(image_config_parse(text, size - 1, &config));
		if (config.diff_ids.n)
			image_chain_id(&config.diff_ids, config.diff_ids.n, chain);
	}
	return 0;
}
