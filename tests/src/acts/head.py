import ctypes, fcntl, mmap, os, shutil, signal, socket, subprocess, sys, time
libc = ctypes.CDLL(None, use_errno=True)

def c(text):
    return ctypes.c_char_p(text.encode())

def buffer(data):
    return ctypes.create_string_buffer(data, len(data))

def call(number, *arguments):
    words = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    ctypes.set_errno(0)
    if libc.syscall(ctypes.c_long(number), *words) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

def read(file):
    if 'secret' not in file.read():
        raise ValueError('the content is not there')

def run(words):
    done = subprocess.run(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)
    if done.returncode:
        text = done.stdout.decode(errors='replace').replace('\n', ' ')
        raise RuntimeError(f'exit {done.returncode} {text}')

def received(path):
    s = socket.socket(socket.AF_UNIX)
    s.connect(path)
    given = socket.recv_fds(s, 1, 1)[1]
    if not given:
        raise RuntimeError('no descriptor came')
    return given[0]

def inet(address, kind):
    return socket.socket(socket.AF_INET6 if ':' in address else socket.AF_INET, kind)

def child():
    pid = os.fork()
    if pid == 0:
        time.sleep(60)
        os._exit(0)
    return pid

def say(text):
    os.write(1, text.encode())

def act(number, body):
    pid = os.fork()
    if pid == 0:
        signal.alarm(30)
        head = f'#act {number} {os.getpid()} '
        try:
            body()
            said = 'ok'
        except OSError as error:
            said = f'errno {error.errno}' if error.errno else str(error)
        except RuntimeError as error:
            said = str(error)
        except BaseException as error:
            said = f'exception {error!r}'.replace('\n', ' ')
        say(f'{head}{said}\n')
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    # An act that became another program says nothing itself.
    say(f'#end {number} {pid} {status}\n')

say(f"#session {os.environ.get('BAILIFF_SESSION', '-')}\n")
