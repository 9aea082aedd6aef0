#!/bin/sh
# gRPC from the shell, without protos or stubs: the orchestrator describes its services by reflection.
# Needs buf (pip install buf-bin). With grpcurl instead:
#   grpcurl -plaintext -d "$request" "$address" paceline.v1.OrchestratorService/Generate
# Where the orchestrator has a tenants file, reflection is for operators: give an operator's key, or `--schema protos`.
set -eu

address="${PACELINE_ADDRESS:-127.0.0.1:7000}"
request='{"chat": {"messages": [{"role": "user", "content": "Name three rivers."}]}, "maxTokens": 20}'

call() {
    set -- --protocol grpc --http2-prior-knowledge "$@"
    if [ -z "${PACELINE_API_KEY:-}" ]; then
        buf curl "$@"
    else
        # The key goes through a pipe: everybody on the machine can read the arguments of a command.
        printf 'authorization: Bearer %s\n' "$PACELINE_API_KEY" | buf curl --header @- --reflect-header '*' "$@"
    fi
}

call --list-methods "http://$address"
call --data '{}' "http://$address/paceline.v1.OrchestratorService/GetModel"
call --data "$request" "http://$address/paceline.v1.OrchestratorService/Generate"
