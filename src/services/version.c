// SPDX-License-Identifier: Apache-2.0
#include "proto/version.pb-c.h"
#include "services/convert.h"
#include "services/services.h"

static struct err *version_handle_version(struct rpc_call *call, void *impl)
{
	struct services *svc = impl;
	Version__VersionResponse reply = VERSION__VERSION_RESPONSE__INIT;

	reply.version = (char *)svc->version;
	reply.revision = (char *)svc->revision;
	return rpc_reply(call, &reply);
}

static const struct rpc_method methods[] = {
	{"Version", RPC_UNARY, LANE_RESERVED, &google__protobuf__empty__descriptor,
		&version__version_response__descriptor, version_handle_version},
};

const struct rpc_service version_service = {
	"containerd.services.version.v1.Version", methods, ARRAY_LEN(methods)};
