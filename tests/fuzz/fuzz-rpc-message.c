// SPDX-License-Identifier: Apache-2.0
/* Messages of a peer: whatever is accepted can be packed again and is accepted again. */
#include <stdlib.h>

#include "proto/containers.pb-c.h"
#include "proto/content.pb-c.h"
#include "proto/images.pb-c.h"
#include "proto/tasks.pb-c.h"
#include "rpc/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_type(const ProtobufCMessageDescriptor *type, const uint8_t *data, size_t size)
{
	autoptr(arena) a = arena_new();
	autoptr(err) e = NULL;
	void *message, *again, *bytes;
	size_t len;

	e = message_unpack(type, data, size, a, &message);
	if (e)
		return;
	bytes = message_pack(message, a, &len);
	e = message_unpack(type, bytes, len, a, &again);
	if (e)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	try_type(&google__protobuf__any__descriptor, data, size);
	try_type(&containers__container__descriptor, data, size);
	try_type(&content__write_content_request__descriptor, data, size);
	try_type(&images__update_image_request__descriptor, data, size);
	try_type(&tasks__create_task_request__descriptor, data, size);
	return 0;
}
