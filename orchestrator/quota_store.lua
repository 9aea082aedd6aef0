-- What one tenant uses, called as EVALSHA <sha> 2 <minute> <sessions> <command> <arguments...>.
--
-- KEYS[1]  hash: how much was used in each slot of time; fields are requests:<slot> and tokens:<slot>
-- KEYS[2]  sorted set: the tenant's sessions that run or wait, by when they no longer count unless they are renewed, in
--          milliseconds
-- ARGV[1]  command; its arguments follow, numbers as decimal text
--
-- Each command returns {quota, wait_ms}: the quota that is used up, empty where none is, and the milliseconds until it
-- is not, 0 where that is not known.
--
-- A slot counts until its end is a minute ago, so that no minute has more than a quota. Redis 7 or Valkey.

local minute, sessions = KEYS[1], KEYS[2]
local SLOT_MS, WINDOW_MS = 2000, 60000

local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local newest, oldest = math.floor(now_ms / SLOT_MS), math.floor((now_ms - WINDOW_MS) / SLOT_MS)

local function text(number)
  return string.format('%.0f', number)
end

local function add(kind, amount)
  if tonumber(amount) > 0 then
    redis.call('HINCRBY', minute, kind .. ':' .. text(newest), amount)
    redis.call('PEXPIRE', minute, text(WINDOW_MS + 2 * SLOT_MS))
  end
end

-- Adds what was used since the last call, drops the sessions that have ended, and holds others for `lease_ms`.
local function take_in(num_requests, num_tokens, ended, held, lease_ms)
  add('requests', num_requests)
  add('tokens', num_tokens)
  for _, session in ipairs(ended) do redis.call('ZREM', sessions, session) end
  for _, session in ipairs(held) do redis.call('ZADD', sessions, text(now_ms + lease_ms), session) end
  if #held > 0 then redis.call('PEXPIRE', sessions, lease_ms) end
end

-- The last arguments of each command: the first `num_ended` are sessions that have ended, the others run or are to.
local function split(num_ended, ...)
  local ended, others = {}, {}
  for number, session in ipairs({...}) do
    local list = number <= tonumber(num_ended) and ended or others
    list[#list + 1] = session
  end
  return ended, others
end

-- What counts, by kind and slot; slots that no longer do are dropped.
local function used()
  local flat, by_kind = redis.call('HGETALL', minute), {requests = {}, tokens = {}}
  for number = 1, #flat, 2 do
    local kind, slot = string.match(flat[number], '^(%a+):(%d+)$')
    if tonumber(slot) < oldest then
      redis.call('HDEL', minute, flat[number])
    else
      by_kind[kind][tonumber(slot)] = tonumber(flat[number + 1])
    end
  end
  return by_kind
end

-- Milliseconds until one more is within a limit, 0 where it is now. An empty limit is none.
local function wait_ms(slots, limit)
  if limit == '' then return 0 end
  local total, slot, wait = 1, oldest, 0
  for _, amount in pairs(slots) do total = total + amount end
  while total > tonumber(limit) and slot <= newest do
    total = total - (slots[slot] or 0)
    slot = slot + 1
    wait = slot * SLOT_MS + WINDOW_MS - now_ms
  end
  return wait
end

-- How many sessions there would be with some more, those not counted twice that are there.
local function num_sessions_with(wanted)
  redis.call('ZREMRANGEBYSCORE', sessions, '-inf', text(now_ms))
  local num_new = 0
  for _, session in ipairs(wanted) do
    if not redis.call('ZSCORE', sessions, session) then num_new = num_new + 1 end
  end
  return num_new, redis.call('ZCARD', sessions) + num_new
end

local commands = {}

-- settle num_requests num_tokens lease_ms num_ended session...
-- Tells what was used since the last call, which sessions have ended, and which still run.
function commands.settle(num_requests, num_tokens, lease_ms, num_ended, ...)
  local ended, running = split(num_ended, ...)
  take_in(num_requests, num_tokens, ended, running, lease_ms)
  return {'', 0}
end

-- admit max_requests max_tokens max_sessions num_requests num_tokens lease_ms num_ended session...
-- Settles, then counts one more request and its sessions if no quota is used up; else nothing more changes.
function commands.admit(max_requests, max_tokens, max_sessions, num_requests, num_tokens, lease_ms, num_ended, ...)
  local ended, wanted = split(num_ended, ...)
  take_in(num_requests, num_tokens, ended, {}, lease_ms)
  local slots = used()
  local wait = wait_ms(slots.requests, max_requests)
  if wait > 0 then return {'requests_per_minute', wait} end
  wait = wait_ms(slots.tokens, max_tokens)
  if wait > 0 then return {'tokens_per_minute', wait} end
  if max_sessions ~= '' then
    local num_new, num_sessions = num_sessions_with(wanted)
    if num_new > 0 and num_sessions > tonumber(max_sessions) then return {'max_sessions', 0} end
  end
  take_in(1, 0, {}, wanted, lease_ms)
  return {'', 0}
end

return commands[ARGV[1]](unpack(ARGV, 2))
