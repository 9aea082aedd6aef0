-- Every script of the session store, called as EVALSHA <sha> 2 <state> <ids> <command> <arguments...>, or for many
-- sessions at once as EVALSHA <sha> <2 * sessions> <state> <ids> [<state> <ids> ...] batch <calls...>.
--
-- KEYS[1]  hash: the session's state (fields in docs/rounds.md)
-- KEYS[2]  string: its ids, prompt and committed, 4 bytes each, little-endian
-- ARGV[1]  command; its arguments follow, numbers as decimal text
--
-- Each command returns {code, epoch, position}, epoch and position as stored after the call, 0 where there is no session; `load`,
-- `overview` and `cancel` add what they say. Codes:
--   OK                 applied
--   REPEATED           had been applied before; nothing changed
--   EXISTS             another session has the name; nothing changed
--   NOT_FOUND          there is no such session, it has expired, or one of its keys is gone; nothing changed
--   STALE_EPOCH        the session is under a higher epoch, or another owner's; nothing changed
--   UNKNOWN_EPOCH      the store has never heard of so high an epoch: it has lost writes; nothing changed
--   POSITION_MISMATCH  the ids do not follow those that are stored, or there are more or fewer; nothing changed
--   NOT_RUNNING        the session has ended; nothing changed
--   CANCELLED          an operator has ended the session; nothing changed
--
-- A change renews the time to live of both keys and, while the session runs, the owner's lease. Redis 7 or Valkey.
-- Numbers are doubles here: epochs are exact below 2^53.

local state, ids_key = KEYS[1], KEYS[2]
local BYTES_PER_ID = 4
local OVERVIEW_FIELDS = {'status', 'model', 'num_prompt_ids', 'digest', 'sampling', 'target_replica',
  'target_incarnation', 'draft_replica', 'draft_incarnation', 'orchestrator', 'lease_deadline_ms', 'updated_ms',
  'tenant'}

local function text(number)
  return string.format('%.0f', number)
end

local function now_ms()
  local now = redis.call('TIME')
  return now[1] * 1000 + math.floor(now[2] / 1000)
end

-- What is stored, nil where there is nothing. A server that evicts keys may drop one of the two: not whole.
local function stored()
  local found = redis.call('HMGET', state, 'epoch', 'position', 'status')
  if not found[1] then return nil end
  local session = {epoch = tonumber(found[1]), position = tonumber(found[2]), status = found[3]}
  session.is_whole = redis.call('STRLEN', ids_key) == session.position * BYTES_PER_ID
  return session
end

local function answer(code, session)
  return {code, session and session.epoch or 0, session and session.position or 0}
end

local function refusal(session, epoch)
  if not session or not session.is_whole then return 'NOT_FOUND' end
  if epoch == session.epoch then return nil end
  if session.status == 'cancelled' then return 'CANCELLED' end
  return epoch < session.epoch and 'STALE_EPOCH' or 'UNKNOWN_EPOCH'
end

-- Sets fields, the lease of a running session (0 of another) and when it changed, and renews the time to live.
local function write(session, ttl_seconds, lease_ms, ...)
  local now = now_ms()
  local deadline_ms = session.status == 'running' and now + lease_ms or 0
  redis.call('HSET', state, 'epoch', text(session.epoch), 'position', text(session.position),
    'status', session.status, 'lease_deadline_ms', text(deadline_ms), 'updated_ms', text(now), ...)
  redis.call('EXPIRE', state, ttl_seconds)
  redis.call('EXPIRE', ids_key, ttl_seconds)
end

local commands = {}

-- create epoch ids ttl_seconds lease_ms field value [field value ...]
-- Makes a running session. A repeat with the same epoch and ids is answered REPEATED.
function commands.create(epoch, ids, ttl_seconds, lease_ms, ...)
  local session = stored()
  if session then
    local is_same = session.epoch == tonumber(epoch) and redis.call('GET', ids_key) == ids
    return answer(is_same and 'REPEATED' or 'EXISTS', session)
  end
  session = {epoch = tonumber(epoch), position = #ids / BYTES_PER_ID, status = 'running'}
  redis.call('SET', ids_key, ids)
  write(session, ttl_seconds, lease_ms, ...)
  return answer('OK', session)
end

-- commit epoch position ids digest status ttl_seconds lease_ms
-- Appends ids at `position` if that is where the stored ids end and the epoch is the session's; `digest` is that of
-- all ids afterwards, `status` is "running" or, with the last ids, "finished". Ids that are stored there already are
-- a repeat.
function commands.commit(epoch, position, ids, digest, status, ttl_seconds, lease_ms)
  local session = stored()
  local refused = refusal(session, tonumber(epoch))
  if refused then return answer(refused, session) end
  if tonumber(position) ~= session.position then
    local first = position * BYTES_PER_ID
    local is_same = redis.call('GETRANGE', ids_key, text(first), text(first + #ids - 1)) == ids
    return answer(is_same and 'REPEATED' or 'POSITION_MISMATCH', session)
  end
  if session.status ~= 'running' then return answer('NOT_RUNNING', session) end
  redis.call('APPEND', ids_key, ids)
  session.position, session.status = session.position + #ids / BYTES_PER_ID, status
  write(session, ttl_seconds, lease_ms, 'digest', digest)
  return answer('OK', session)
end

-- finish epoch status ttl_seconds
-- Ends a running session as "suspended", "failed" or "cancelled" and gives its lease up. One that does not run stays
-- as it is, which is answered REPEATED.
function commands.finish(epoch, status, ttl_seconds)
  local session = stored()
  local refused = refusal(session, tonumber(epoch))
  if refused then return answer(refused, session) end
  if session.status ~= 'running' then return answer('REPEATED', session) end
  session.status = status
  write(session, ttl_seconds, 0)
  return answer('OK', session)
end

-- take_over expected_epoch expected_position new_epoch keep_position ids orchestrator ttl_seconds lease_ms
--           field value [field value ...]
-- Makes the session the orchestrator's, running under `new_epoch`, if it still is where it was when its record was
-- read. Its first `keep_position` ids stay, `ids` follow them. The fields are the digest of all ids afterwards, the
-- owners of the caches, and what else changes of num_prompt_ids, sampling and task. STALE_EPOCH and POSITION_MISMATCH
-- mean that the record must be read again. A repeat is known by its epoch and orchestrator.
function commands.take_over(expected_epoch, expected_position, new_epoch, keep_position, ids, orchestrator,
                            ttl_seconds, lease_ms, ...)
  local session = stored()
  if session and session.status == 'cancelled' then return answer('CANCELLED', session) end
  if session and session.is_whole and session.epoch == tonumber(new_epoch) then
    local is_same = redis.call('HGET', state, 'orchestrator') == orchestrator
    return answer(is_same and 'REPEATED' or 'STALE_EPOCH', session)
  end
  local refused = refusal(session, tonumber(expected_epoch))
  if refused then return answer(refused, session) end
  if tonumber(expected_position) ~= session.position then return answer('POSITION_MISMATCH', session) end
  if tonumber(keep_position) < session.position then
    local kept = keep_position * BYTES_PER_ID
    redis.call('SET', ids_key, redis.call('GETRANGE', ids_key, '0', text(kept - 1)):sub(1, kept))
  end
  redis.call('APPEND', ids_key, ids)
  local position = keep_position + #ids / BYTES_PER_ID
  local num_prompt_ids = math.min(tonumber(redis.call('HGET', state, 'num_prompt_ids')), position)
  session = {epoch = tonumber(new_epoch), position = position, status = 'running'}
  write(session, ttl_seconds, lease_ms, 'orchestrator', orchestrator, 'num_prompt_ids', text(num_prompt_ids), ...)
  return answer('OK', session)
end

-- renew epoch ttl_seconds lease_ms
-- Renews the lease of a running session and the time to live. One that does not run stays as it is: REPEATED.
function commands.renew(epoch, ttl_seconds, lease_ms)
  local session = stored()
  local refused = refusal(session, tonumber(epoch))
  if refused then return answer(refused, session) end
  if session.status ~= 'running' then return answer('REPEATED', session) end
  redis.call('HSET', state, 'lease_deadline_ms', text(now_ms() + lease_ms))
  redis.call('EXPIRE', state, ttl_seconds)
  redis.call('EXPIRE', ids_key, ttl_seconds)
  return answer('OK', session)
end

-- restore epoch status ids ttl_seconds lease_ms field value [field value ...]
-- Puts back what its owner knows to have been acknowledged and the store has lost: applied where there is no session,
-- where half of it is gone, where it is under a lower epoch, and where it has fewer of the same ids or still runs
-- though it had ended. Other ids under the same epoch are POSITION_MISMATCH. The fields are all others of the hash.
function commands.restore(epoch, status, ids, ttl_seconds, lease_ms, ...)
  local session = stored()
  if session then
    if session.status == 'cancelled' then return answer('CANCELLED', session) end
    if session.epoch > tonumber(epoch) then return answer('STALE_EPOCH', session) end
    if session.epoch == tonumber(epoch) and session.is_whole then
      local known = redis.call('GET', ids_key)
      local shared = math.min(#known, #ids)
      if known:sub(1, shared) ~= ids:sub(1, shared) then return answer('POSITION_MISMATCH', session) end
      local has_ended_since = #known == #ids and session.status == 'running' and status ~= 'running'
      if #known >= #ids and not has_ended_since then return answer('REPEATED', session) end
    end
  end
  session = {epoch = tonumber(epoch), position = #ids / BYTES_PER_ID, status = status}
  redis.call('SET', ids_key, ids)
  write(session, ttl_seconds, lease_ms, ...)
  return answer('OK', session)
end

-- overview
-- Changes nothing. Adds a flat list of fields and values (OVERVIEW_FIELDS), the milliseconds that are left to live,
-- and the time in milliseconds.
function commands.overview(code)
  local session = stored()
  if not session or not session.is_whole then return answer('NOT_FOUND', session) end
  local values = redis.call('HMGET', state, unpack(OVERVIEW_FIELDS))
  local flat = {}
  for number, field in ipairs(OVERVIEW_FIELDS) do
    flat[2 * number - 1], flat[2 * number] = field, values[number]
  end
  local found = answer(code or 'OK', session)
  found[4], found[5], found[6] = flat, redis.call('PTTL', state), now_ms()
  return found
end

-- cancel epoch_step ttl_seconds
-- Ends a running or suspended session as "cancelled", for an operator, under an epoch that is higher by the step. One
-- that has ended stays as it is: REPEATED. Adds what `overview` does.
function commands.cancel(epoch_step, ttl_seconds)
  local session = stored()
  local can_go_on = session and (session.status == 'running' or session.status == 'suspended')
  if can_go_on then
    session.epoch, session.status = session.epoch + epoch_step, 'cancelled'
    write(session, ttl_seconds, 0)
  end
  return commands.overview(can_go_on and 'OK' or 'REPEATED')
end

-- load
-- Changes nothing. Adds a flat list of all fields and values, and the ids.
function commands.load()
  local session = stored()
  if not session or not session.is_whole then return answer('NOT_FOUND', session) end
  local found = answer('OK', session)
  found[4] = redis.call('HGETALL', state)
  found[5] = redis.call('GET', ids_key) or ''
  return found
end

-- batch num_arguments command [argument ...] [num_arguments command [argument ...] ...]
-- Runs a command for each pair of keys, one after the other. Returns their answers in that order, the error itself in
-- the place of a command that failed.
function commands.batch(...)
  local calls, at, answers = {...}, 1, {}
  for number = 1, #KEYS / 2 do
    state, ids_key = KEYS[2 * number - 1], KEYS[2 * number]
    local last = at + 1 + calls[at]
    local is_done, answered = pcall(commands[calls[at + 1]], unpack(calls, at + 2, last))
    if not is_done and type(answered) ~= 'table' then answered = {err = answered} end
    answers[number], at = answered, last + 1
  end
  return answers
end

return commands[ARGV[1]](unpack(ARGV, 2))
