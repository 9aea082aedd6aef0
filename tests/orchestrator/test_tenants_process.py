"""The program with a tenants file: what it says where the file is wrong, and whom it listens to where it is right."""

import signal

import pytest

from paceline.client.errors import CallFailedError
from paceline.client.status import connect_to_status
from paceline.local.listen_address import free_ports
from tests.orchestrator.rig import TOKENIZER
from tests.orchestrator.tenant_rig import entry, key_of, write_tenants
from tests.paceline.serving.processes import program


async def test_a_tenants_file_is_needed_in_order_and_then_kept_to(redis, tmp_path):
    TOKENIZER.save(tmp_path)
    (tmp_path / "paceline.json").write_text("{}")
    tenants = write_tenants(tmp_path, entry("ops", role="king"))
    address = f"127.0.0.1:{free_ports(1)[0]}"
    flags = ("--listen", address, "--target-addresses", "127.0.0.1:1", "--redis-url", redis.url)
    options = (*flags, "--model", str(tmp_path), "--tenants-file", str(tenants))
    async with program("orchestrator", *options) as orchestrator:
        assert await orchestrator.exit_code() == 2
        assert f"orchestrator: --tenants-file {tenants}: tenants[0].role: " in orchestrator.lines[-1]
    write_tenants(tmp_path, entry("ops", role="operator"))
    async with program("orchestrator", *options) as orchestrator:
        assert (await orchestrator.event("tenants_loaded"))["num_keys"] == 1
        await orchestrator.event("listening")
        async with connect_to_status(address, key_of("ops")) as client:
            assert (await client.get()).redis_seconds is not None
        async with connect_to_status(address) as client:
            with pytest.raises(CallFailedError) as caught:
                await client.get()
            assert caught.value.call_reason == "API_KEY_MISSING"
        orchestrator.process.send_signal(signal.SIGTERM)
        assert await orchestrator.exit_code() == 0
        assert "key-of-ops" not in "".join(orchestrator.lines)
