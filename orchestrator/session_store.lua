-- Every script of the session store, called as EVALSHA <sha> 2 <state> <ids> <command> <arguments...>.
--
-- KEYS[1]  hash: the session's state (fields in docs/rounds.md)
-- KEYS[2]  string: its ids, prompt and committed, 4 bytes each, little-endian
-- ARGV[1]  command; its arguments follow, numbers as decimal text
--
-- Returns {code, epoch, position}, epoch and position as stored after the call, 0 where there is no session; `load`
-- adds a flat list of fields and values, and the ids. Codes:
--   OK                 applied
--   REPEATED           had been applied before; nothing changed
--   EXISTS             another session has the name; nothing changed
--   NOT_FOUND          there is no such session, or it has expired
--   STALE_EPOCH        the session has been acquired under a higher epoch; nothing changed
--   UNKNOWN_EPOCH      the store has never heard of so high an epoch: it has lost writes; nothing changed
--   POSITION_MISMATCH  the ids do not follow those that are stored; nothing changed
--   NOT_RUNNING        the session has ended; nothing changed
--
-- A change renews the time to live of both keys and, while the session runs, the owner's lease. Redis 6.2 or later.

local state, ids_key = KEYS[1], KEYS[2]
local BYTES_PER_ID = 4

local function answer(code)
  local known = redis.call('HMGET', state, 'epoch', 'position')
  return {code, tonumber(known[1] or 0), tonumber(known[2] or 0)}
end

local function refusal_of_epoch(epoch)
  local known = redis.call('HGET', state, 'epoch')
  if not known then return 'NOT_FOUND' end
  if tonumber(epoch) < tonumber(known) then return 'STALE_EPOCH' end
  if tonumber(epoch) > tonumber(known) then return 'UNKNOWN_EPOCH' end
  return nil
end

local function keep(ttl_seconds)
  redis.call('EXPIRE', state, ttl_seconds)
  redis.call('EXPIRE', ids_key, ttl_seconds)
end

local function now_ms()
  local now = redis.call('TIME')
  return now[1] * 1000 + math.floor(now[2] / 1000)
end

local function text(number)
  return string.format('%.0f', number)
end

local commands = {}

-- create epoch ids ttl_seconds lease_ms field value [field value ...]
-- Makes a running session. A repeat with the same epoch and ids is answered REPEATED.
function commands.create(epoch, ids, ttl_seconds, lease_ms, ...)
  if redis.call('EXISTS', state) == 1 then
    local is_same = redis.call('HGET', state, 'epoch') == epoch and redis.call('GET', ids_key) == ids
    return answer(is_same and 'REPEATED' or 'EXISTS')
  end
  local position = #ids / BYTES_PER_ID
  redis.call('SET', ids_key, ids)
  redis.call('HSET', state, 'epoch', epoch, 'position', text(position), 'status', 'running',
    'num_prompt_ids', text(position), 'lease_deadline_ms', text(now_ms() + lease_ms), ...)
  keep(ttl_seconds)
  return answer('OK')
end

-- commit epoch position ids digest status ttl_seconds lease_ms
-- Appends ids at `position` if that is where the stored ids end and the epoch is the session's; `digest` is that of
-- all ids afterwards, `status` is "running" or, with the last ids, "finished". Ids that are stored there already are
-- a repeat.
function commands.commit(epoch, position, ids, digest, status, ttl_seconds, lease_ms)
  local refusal = refusal_of_epoch(epoch)
  if refusal then return answer(refusal) end
  local known = redis.call('HMGET', state, 'position', 'status')
  if tonumber(position) ~= tonumber(known[1]) then
    local first = position * BYTES_PER_ID
    local is_same = redis.call('GETRANGE', ids_key, text(first), text(first + #ids - 1)) == ids
    return answer(is_same and 'REPEATED' or 'POSITION_MISMATCH')
  end
  if known[2] ~= 'running' then return answer('NOT_RUNNING') end
  redis.call('APPEND', ids_key, ids)
  redis.call('HSET', state, 'position', text(position + #ids / BYTES_PER_ID), 'digest', digest, 'status', status,
    'lease_deadline_ms', text(status == 'running' and now_ms() + lease_ms or 0))
  keep(ttl_seconds)
  return answer('OK')
end

-- finish epoch status ttl_seconds
-- Ends a running session as "cancelled" or "failed" and gives its lease up. One that has ended stays as it is.
function commands.finish(epoch, status, ttl_seconds)
  local refusal = refusal_of_epoch(epoch)
  if refusal then return answer(refusal) end
  if redis.call('HGET', state, 'status') ~= 'running' then return answer('REPEATED') end
  redis.call('HSET', state, 'status', status, 'lease_deadline_ms', '0')
  keep(ttl_seconds)
  return answer('OK')
end

-- acquire at_least ttl_seconds lease_ms field value [field value ...]
-- Makes the caller the owner under a new epoch: one more than the stored one and `at_least`, whichever is higher, so
-- that a store that has lost writes never goes back. The fields are the new owners.
function commands.acquire(at_least, ttl_seconds, lease_ms, ...)
  local known = redis.call('HGET', state, 'epoch')
  if not known then return answer('NOT_FOUND') end
  local epoch = math.max(tonumber(known), tonumber(at_least)) + 1
  redis.call('HSET', state, 'epoch', text(epoch), 'lease_deadline_ms', text(now_ms() + lease_ms), ...)
  keep(ttl_seconds)
  return answer('OK')
end

-- load
-- Changes nothing.
function commands.load()
  if redis.call('EXISTS', state) == 0 then return answer('NOT_FOUND') end
  local found = answer('OK')
  found[4] = redis.call('HGETALL', state)
  found[5] = redis.call('GET', ids_key) or ''
  return found
end

return commands[ARGV[1]](unpack(ARGV, 2))
